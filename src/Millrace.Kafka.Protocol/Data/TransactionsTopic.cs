namespace Millrace.Kafka.Protocol;

// The keys and values of Kafka's internal topic __transaction_state.

/// <summary>The key of a transactional id's state.</summary>
public sealed class TransactionLogKey : IVersionedData
{
    public string TransactionalId = "";

    public static short MinVersion => 0;
    public static short MaxVersion => 0;
    public static short FirstFlexibleVersion => short.MaxValue;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref TransactionalId);
        codec.Tags();
    }
}

/// <summary>The state of a transactional id. Kafka writes version 1 where the feature transaction.version is on.</summary>
public sealed class TransactionLogValue : IVersionedData, ITaggedMessage
{
    /// <summary>As <see cref="TransactionLogPartitions.EndOffsets"/> no field of Kafka's, which skips it.</summary>
    private const int OwedMarkersTag = 10_000;

    public long ProducerId;

    /// <summary>The id before <see cref="ProducerId"/>, if its epochs are used up; otherwise -1.</summary>
    public long PreviousProducerId = -1;

    /// <summary>The id that comes into use when the transaction is over; otherwise -1.</summary>
    public long NextProducerId = -1;

    public short ProducerEpoch;
    public int TransactionTimeoutMilliseconds;
    public sbyte TransactionStatus;

    /// <summary>Null in the state Empty alone: in any other, Kafka's readers take a list for granted.</summary>
    public List<TransactionLogPartitions>? TransactionPartitions = [];

    /// <summary>Milliseconds since 1970.</summary>
    public long TransactionLastUpdateTimestampMilliseconds;

    /// <inheritdoc cref="TransactionLastUpdateTimestampMilliseconds"/>
    public long TransactionStartTimestampMilliseconds;

    /// <summary>2 where the epoch rises with each transaction.</summary>
    public short ClientTransactionVersion;

    /// <summary>No field of Kafka's: earlier decisions whose markers may be missing somewhere, oldest first.</summary>
    public List<TransactionLogOwedMarkers> OwedMarkers = [];

    public static short MinVersion => 0;
    public static short MaxVersion => 1;
    public static short FirstFlexibleVersion => 1;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int64(ref ProducerId);
        codec.Int16(ref ProducerEpoch);
        codec.Int32(ref TransactionTimeoutMilliseconds);
        codec.Int8(ref TransactionStatus);
        codec.NullableArray(ref TransactionPartitions, version);
        codec.Int64(ref TransactionLastUpdateTimestampMilliseconds);
        codec.Int64(ref TransactionStartTimestampMilliseconds);
        codec.Tags(this, version);
    }

    public void DescribeTags<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (codec.BeginTag(0, PreviousProducerId != -1, out int mark0))
        {
            codec.Int64(ref PreviousProducerId);
            codec.EndTag(mark0);
        }

        if (codec.BeginTag(1, NextProducerId != -1, out int mark1))
        {
            codec.Int64(ref NextProducerId);
            codec.EndTag(mark1);
        }

        if (codec.BeginTag(2, ClientTransactionVersion != 0, out int mark2))
        {
            codec.Int16(ref ClientTransactionVersion);
            codec.EndTag(mark2);
        }

        if (codec.BeginTag(OwedMarkersTag, OwedMarkers.Count > 0, out int owed))
        {
            codec.Array(ref OwedMarkers, version);
            codec.EndTag(owed);
        }
    }
}

/// <summary>The partitions of one topic in a transaction.</summary>
public sealed class TransactionLogPartitions : ITaggedMessage
{
    /// <summary>Far above the tags that Kafka gives out, and skipped by its readers as any that they do not know.</summary>
    private const int EndOffsetsTag = 10_000;

    private const int LeaderEpochsTag = 10_001;

    private const int TopicIdTag = 10_002;

    public string Topic = "";
    public List<int> PartitionIds = [];

    /// <summary>
    /// No field of Kafka's: where each partition ended when the end of the transaction was decided. What a producer wrote behind that belongs
    /// to its next transaction. Null where there are none.
    /// </summary>
    public List<long>? EndOffsets;

    /// <summary>No field of Kafka's: the leader epochs in which they ended there. Null where there are none.</summary>
    public List<int>? LeaderEpochs;

    /// <summary>No field of Kafka's: which topic of this name had those ends. Empty where there are none.</summary>
    public Guid TopicId;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Topic);
        codec.Int32Array(ref PartitionIds);
        codec.Tags(this, version);
    }

    public void DescribeTags<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        if (codec.BeginTag(EndOffsetsTag, EndOffsets is not null, out int mark))
        {
            List<long> ends = EndOffsets ?? [];
            codec.Int64Array(ref ends, nameof(EndOffsets));
            EndOffsets = ends;
            codec.EndTag(mark);
        }

        if (codec.BeginTag(LeaderEpochsTag, LeaderEpochs is not null, out int epochs))
        {
            codec.NullableInt32Array(ref LeaderEpochs);
            codec.EndTag(epochs);
        }

        if (codec.BeginTag(TopicIdTag, TopicId != Guid.Empty, out int id))
        {
            codec.Uuid(ref TopicId);
            codec.EndTag(id);
        }
    }
}

/// <summary>No structure of Kafka's: what has to be known of a decision so that its markers can be written again.</summary>
public sealed class TransactionLogOwedMarkers : IMessage
{
    public long ProducerId;
    public short ProducerEpoch;
    public bool Committed;
    public List<TransactionLogPartitions> Partitions = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int64(ref ProducerId);
        codec.Int16(ref ProducerEpoch);
        codec.Boolean(ref Committed);
        codec.Array(ref Partitions, version);
        codec.Tags();
    }
}
