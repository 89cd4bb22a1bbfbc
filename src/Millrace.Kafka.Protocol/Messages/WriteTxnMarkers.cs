namespace Millrace.Kafka.Protocol;

/// <summary>
/// Writes the markers that end transactions in partitions. A coordinator sends it to the brokers that lead them; an admin client, to end a transaction that no coordinator
/// knows any more (KIP-664).
/// </summary>
public sealed class WriteTxnMarkersRequest : IRequest<WriteTxnMarkersResponse>
{
    public List<WritableTxnMarker> Markers = [];

    public static ApiDefinition Api { get; } = new(ApiKey.WriteTxnMarkers, 0, 2, FirstFlexibleVersion: 1);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Array(ref Markers, version);
        codec.Tags();
    }
}

public sealed class WritableTxnMarker : IMessage
{
    public long ProducerId;
    public short ProducerEpoch;

    /// <summary>False: the transaction is aborted.</summary>
    public bool Committed;

    public List<WritableTxnMarkerTopic> Topics = [];

    /// <summary>Of the partition of the state topic that the sender coordinates; a partition refuses an older one than it has seen.</summary>
    public int CoordinatorEpoch;

    /// <summary>2: the marker's epoch is above that of the transaction's records (KIP-890, KIP-1228). Version 2 and later.</summary>
    public sbyte TransactionVersion;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int64(ref ProducerId);
        codec.Int16(ref ProducerEpoch);
        codec.Boolean(ref Committed);
        codec.Array(ref Topics, version);
        codec.Int32(ref CoordinatorEpoch);
        if (version >= 2)
        {
            codec.Int8(ref TransactionVersion);
        }

        codec.Tags();
    }
}

public sealed class WritableTxnMarkerTopic : IMessage
{
    public string Name = "";
    public List<int> Partitions = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Name);
        codec.Int32Array(ref Partitions);
        codec.Tags();
    }
}

public sealed class WriteTxnMarkersResponse : IMessage
{
    public List<WritableTxnMarkerResult> Markers = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Array(ref Markers, version);
        codec.Tags();
    }
}

public sealed class WritableTxnMarkerResult : IMessage
{
    public long ProducerId;
    public List<WritableTxnMarkerTopicResult> Topics = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int64(ref ProducerId);
        codec.Array(ref Topics, version);
        codec.Tags();
    }
}

public sealed class WritableTxnMarkerTopicResult : IMessage
{
    public string Name = "";
    public List<WritableTxnMarkerPartitionResult> Partitions = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Name);
        codec.Array(ref Partitions, version);
        codec.Tags();
    }
}

public sealed class WritableTxnMarkerPartitionResult : IMessage
{
    public int Index;
    public ErrorCode ErrorCode;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref Index);
        codec.Error(ref ErrorCode);
        codec.Tags();
    }
}
