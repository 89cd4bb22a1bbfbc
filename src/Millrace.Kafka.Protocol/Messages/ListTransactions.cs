namespace Millrace.Kafka.Protocol;

/// <summary>Lists transactional ids (KIP-664), those that pass every filter: an empty one lets all pass.</summary>
public sealed class ListTransactionsRequest : IRequest<ListTransactionsResponse>
{
    public List<string> StateFilters = [];
    public List<long> ProducerIdFilters = [];

    /// <summary>Milliseconds that a transaction is open at the least; negative for all (KIP-994). Version 1 and later.</summary>
    public long DurationFilter = -1;

    /// <summary>A regular expression for the transactional id (KIP-1152). Version 2.</summary>
    public string? TransactionalIdPattern;

    public static ApiDefinition Api { get; } = new(ApiKey.ListTransactions, 0, 2, FirstFlexibleVersion: 0);

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.StringArray(ref StateFilters);
        codec.Int64Array(ref ProducerIdFilters);
        if (version >= 1) codec.Int64(ref DurationFilter);
        if (version >= 2) codec.NullableString(ref TransactionalIdPattern);
        codec.Tags();
    }
}

public sealed class ListTransactionsResponse : IThrottledResponse
{
    public int ThrottleMilliseconds;
    public ErrorCode ErrorCode;
    public List<string> UnknownStateFilters = [];
    public List<ListedTransaction> TransactionStates = [];

    int IThrottledResponse.ThrottleMilliseconds => ThrottleMilliseconds;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref ThrottleMilliseconds);
        codec.Error(ref ErrorCode);
        codec.StringArray(ref UnknownStateFilters);
        codec.Array(ref TransactionStates, version);
        codec.Tags();
    }
}

public sealed class ListedTransaction : IMessage
{
    public string TransactionalId = "";
    public long ProducerId;

    /// <inheritdoc cref="DescribedTransaction.State"/>
    public string State = "";

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref TransactionalId);
        codec.Int64(ref ProducerId);
        codec.String(ref State);
        codec.Tags();
    }
}
