namespace Millrace.Kafka.Protocol;

/// <summary>Asks for the state of transactional ids (KIP-664).</summary>
public sealed class DescribeTransactionsRequest : IRequest<DescribeTransactionsResponse>
{
    public List<string> TransactionalIds = [];

    public static ApiDefinition Api { get; } = new(ApiKey.DescribeTransactions, 0, 0, FirstFlexibleVersion: 0);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.StringArray(ref TransactionalIds);
        codec.Tags();
    }
}

public sealed class DescribeTransactionsResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public List<DescribedTransaction> TransactionStates = [];

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref ThrottleMilliseconds);
        codec.Array(ref TransactionStates, version);
        codec.Tags();
    }
}

public sealed class DescribedTransaction : IMessage
{
    public ErrorCode ErrorCode;
    public string TransactionalId = "";

    /// <summary>Empty, Ongoing, PrepareCommit, PrepareAbort, CompleteCommit or CompleteAbort.</summary>
    public string State = "";

    public int TransactionTimeoutMilliseconds;

    /// <summary>Milliseconds since 1970; -1 where none is open.</summary>
    public long TransactionStartTimeMilliseconds;

    public long ProducerId;
    public short ProducerEpoch;
    public List<DescribedTransactionTopic> Topics = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Error(ref ErrorCode);
        codec.String(ref TransactionalId);
        codec.String(ref State);
        codec.Int32(ref TransactionTimeoutMilliseconds);
        codec.Int64(ref TransactionStartTimeMilliseconds);
        codec.Int64(ref ProducerId);
        codec.Int16(ref ProducerEpoch);
        codec.Array(ref Topics, version);
        codec.Tags();
    }
}

public sealed class DescribedTransactionTopic : IMessage
{
    public string Topic = "";
    public List<int> Partitions = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Topic);
        codec.Int32Array(ref Partitions);
        codec.Tags();
    }
}
