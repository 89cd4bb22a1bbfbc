namespace Millrace.Kafka.Protocol;

/// <summary>Makes partitions part of a transaction, before the first record goes to them. Clients send versions 0-3; from version 4 on brokers ask each other.</summary>
public sealed class AddPartitionsToTxnRequest : IRequest<AddPartitionsToTxnResponse>
{
    /// <summary>Version 4 and later.</summary>
    public List<AddPartitionsToTxnTransaction> Transactions = [];

    /// <summary>Up to version 3, as are the other fields.</summary>
    public string TransactionalId = "";

    public long ProducerId;
    public short ProducerEpoch;
    public List<AddPartitionsToTxnTopic> Topics = [];

    public static ApiDefinition Api { get; } = new(ApiKey.AddPartitionsToTxn, 0, 5, FirstFlexibleVersion: 3);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (version >= 4)
        {
            codec.Array(ref Transactions, version);
        }
        else
        {
            codec.String(ref TransactionalId);
            codec.Int64(ref ProducerId);
            codec.Int16(ref ProducerEpoch);
            codec.Array(ref Topics, version);
        }

        codec.Tags();
    }
}

public sealed class AddPartitionsToTxnTransaction : IMessage
{
    public string TransactionalId = "";
    public long ProducerId;
    public short ProducerEpoch;

    /// <summary>Asks whether the partitions are part of the transaction, and adds none.</summary>
    public bool VerifyOnly;

    public List<AddPartitionsToTxnTopic> Topics = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref TransactionalId);
        codec.Int64(ref ProducerId);
        codec.Int16(ref ProducerEpoch);
        codec.Boolean(ref VerifyOnly);
        codec.Array(ref Topics, version);
        codec.Tags();
    }
}

public sealed class AddPartitionsToTxnTopic : IMessage
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

public sealed class AddPartitionsToTxnResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;

    /// <summary>Version 4 and later.</summary>
    public ErrorCode ErrorCode;

    /// <summary>Version 4 and later.</summary>
    public List<AddPartitionsToTxnResult> ResultsByTransaction = [];

    /// <summary>Up to version 3.</summary>
    public List<AddPartitionsToTxnTopicResult> ResultsByTopic = [];

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref ThrottleMilliseconds);
        if (version >= 4)
        {
            codec.Error(ref ErrorCode);
            codec.Array(ref ResultsByTransaction, version);
        }
        else
        {
            codec.Array(ref ResultsByTopic, version);
        }

        codec.Tags();
    }
}

public sealed class AddPartitionsToTxnResult : IMessage
{
    public string TransactionalId = "";
    public List<AddPartitionsToTxnTopicResult> TopicResults = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref TransactionalId);
        codec.Array(ref TopicResults, version);
        codec.Tags();
    }
}

public sealed class AddPartitionsToTxnTopicResult : IMessage
{
    public string Name = "";
    public List<AddPartitionsToTxnPartitionResult> ResultsByPartition = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Name);
        codec.Array(ref ResultsByPartition, version);
        codec.Tags();
    }
}

public sealed class AddPartitionsToTxnPartitionResult : IMessage
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
