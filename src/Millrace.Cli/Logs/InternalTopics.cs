using System.Diagnostics.CodeAnalysis;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Cli;

/// <summary>What the records of Kafka's internal topics say.</summary>
internal static class InternalTopics
{
    private const string Offsets = "__consumer_offsets";
    private const string Transactions = "__transaction_state";
    private const short NewestCommitKey = 1;
    private const short GroupKey = 2;

    /// <summary>False for records of other topics, and for kinds of records that are not known here.</summary>
    public static bool TryDescribe(string topic, in Record record, [NotNullWhen(true)] out string? description)
    {
        description = null;
        if (record.Key is not { } key || !MessageCodec.TryReadDataVersion(key, out short version))
        {
            return false;
        }

        description = (topic, version) switch
        {
            (Offsets, >= 0 and <= NewestCommitKey) => Describe<OffsetCommitKey, OffsetCommitValue>(key, record.Value),
            (Offsets, GroupKey) => Describe<GroupMetadataKey, GroupMetadataValue>(key, record.Value),
            (Transactions, 0) => Describe<TransactionLogKey, TransactionLogValue>(key, record.Value),
            _ => null,
        };
        return description is not null;
    }

    private static string Describe<TKey, TValue>(ReadOnlyMemory<byte> key, ReadOnlyMemory<byte>? value)
        where TKey : class, IVersionedData, new()
        where TValue : class, IVersionedData, new() =>
        $"key: {Describe<TKey>(key)} payload: {(value is { } bytes ? Describe<TValue>(bytes) : "null (deleted)")}";

    private static string Describe<TData>(ReadOnlyMemory<byte> bytes)
        where TData : class, IVersionedData, new()
    {
        if (!MessageCodec.TryReadData(bytes, acceptNewer: false, out TData? data, out string? error))
        {
            return $"{ByteText.Of(bytes)} ({error})";
        }

        _ = MessageCodec.TryReadDataVersion(bytes, out short version);
        return $"{typeof(TData).Name} version {version} {FieldText.Of(data, version)}";
    }
}
