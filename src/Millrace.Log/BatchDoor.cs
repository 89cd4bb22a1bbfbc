using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>By what batches are judged at the door.</summary>
/// <param name="Now">By the broker's clock, in milliseconds since 1970.</param>
internal readonly record struct DoorRules(int MaximumBatchByteCount, AppendOrigin Origin, TopicLogSettings Topic, long Now)
{
    /// <summary>The broker keeps its own time; a topic with the time of the append has no other.</summary>
    public bool JudgesTimestamps => Origin == AppendOrigin.Client && Topic.TimestampType == MessageTimestampType.CreateTime;

    public bool IsTooLate(long timestamp) => timestamp > Now && timestamp - Now > Topic.MaximumTimestampAfterMilliseconds;

    /// <summary>A record without a time is never too early.</summary>
    public bool IsTooEarly(long timestamp) => timestamp >= 0 && Now - timestamp > Topic.MaximumTimestampBeforeMilliseconds;
}

/// <summary>What may come into the log. Everything that is appended is checked here once, and never again before it is read.</summary>
internal static class BatchDoor
{
    /// <summary>So many records are named at most: a batch may have millions.</summary>
    private const int MaxNamedRecords = 100;

    private const int LastKnownCodec = (int)CompressionCodec.Zstd;

    /// <summary>The headers of all batches, or the reason why none may come in.</summary>
    public static AppendResult.Rejected? Check(ReadOnlySpan<byte> batches, in DoorRules rules, List<RecordBatchHeader> headers)
    {
        if (batches.IsEmpty)
        {
            return Refuse(AppendRejection.InvalidRecord, "There is no batch.");
        }

        while (!batches.IsEmpty)
        {
            BatchVerdict verdict = RecordBatch.Check(batches, out RecordBatchHeader header);
            if (verdict == BatchVerdict.UnsupportedMagic)
            {
                return Refuse(AppendRejection.UnsupportedForMessageFormat, $"Message format {header.Magic} is not served, only 2.");
            }

            if (verdict == BatchVerdict.BadCounts)
            {
                // Its checksum is right: sent again, it would be the same.
                return Refuse(AppendRejection.InvalidRecord, $"The batch says that it has {header.RecordCount} records and {header.LastOffsetDelta + 1L} offsets, which it cannot have.");
            }

            if (verdict != BatchVerdict.Valid)
            {
                return Refuse(AppendRejection.CorruptMessage, $"The batch is damaged: {verdict}.");
            }

            if (header.TotalByteCount > rules.MaximumBatchByteCount)
            {
                string detail = $"The batch has {header.TotalByteCount} bytes; the limit is {rules.MaximumBatchByteCount}.";
                return Refuse(AppendRejection.MessageTooLarge, detail);
            }

            if ((FindFault(header, rules.Origin) ?? FindFaultInRecords(header, batches, rules.Topic.IsCompacted)) is { } fault)
            {
                return Refuse(AppendRejection.InvalidRecord, fault) with { FaultyRecords = rules.Topic.IsCompacted ? Faulty(batches, static (_, hasKey) => !hasKey) : [] };
            }

            if (rules.JudgesTimestamps && FindFaultInTimes(header, batches, rules) is { } timeFault)
            {
                DoorRules times = rules;
                return Refuse(AppendRejection.InvalidTimestamp, timeFault) with { FaultyRecords = Faulty(batches, (timestamp, _) => times.IsTooLate(timestamp) || times.IsTooEarly(timestamp)) };
            }

            headers.Add(header);
            batches = batches[header.TotalByteCount..];
        }

        return null;
    }

    private static string? FindFault(in RecordBatchHeader header, AppendOrigin origin) => header switch
    {
        { RecordCount: 0 } => "The batch has no records.",
        _ when header.RecordCount != header.LastOffsetDelta + 1 =>
            $"The batch has {header.RecordCount} records and {header.LastOffsetDelta + 1L} offsets.",
        { CodecBits: > LastKnownCodec } => $"Compression codec {header.CodecBits} is unknown.",
        { IsControl: true } => "A control batch is written by brokers only.",
        { IsTransactional: true, Producer.IsNone: true } => "A transaction has a producer with an id.",
        { IsLogAppendTime: true } => "A producer does not set the timestamp type to LogAppendTime.",
        { Producer: { IsNone: false, Epoch: < 0 } } => "A producer with an id has an epoch.",
        { Producer.IsNone: false, BaseSequence: < 0 } when origin == AppendOrigin.Client => "A producer with an id numbers its batches.",
        _ => null,
    };

    /// <summary>
    /// A batch with a right checksum over nonsense would stop every consumer that comes to it. Compressed records pass untouched, unless each
    /// must have a key: without one, compaction would not know what it replaces.
    /// </summary>
    private static string? FindFaultInRecords(in RecordBatchHeader header, ReadOnlySpan<byte> batch, bool requiresKeys)
    {
        if (header.Codec != CompressionCodec.None && !requiresKeys)
        {
            return null;
        }

        try
        {
            RecordBatchReader.Validate(batch, requiresKeys: requiresKeys);
            return null;
        }
        catch (InvalidRecordBatchException exception)
        {
            return exception.Message;
        }
        catch (CodecUnavailableException exception)
        {
            return $"The records of a compacted topic need keys, and these cannot be looked at. {exception.Message}";
        }
    }

    /// <summary>The places of the first records that <paramref name="isFaulty"/> finds by their time and by whether they have a key.</summary>
    private static List<int> Faulty(ReadOnlySpan<byte> batch, Func<long, bool, bool> isFaulty)
    {
        List<int> found = [];
        try
        {
            RecordBatchReader.Visit(batch, (index, timestamp, hasKey) =>
            {
                if (isFaulty(timestamp, hasKey))
                {
                    found.Add(index);
                }

                return found.Count < MaxNamedRecords;
            });
            return found;
        }
        catch (Exception exception) when (exception is InvalidRecordBatchException or CodecUnavailableException)
        {
            // Records that cannot be looked at: the whole batch is at fault.
            return [];
        }
    }

    private static string? FindFaultInTimes(in RecordBatchHeader header, ReadOnlySpan<byte> batch, in DoorRules rules)
    {
        if (rules.IsTooLate(header.MaxTimestamp))
        {
            return $"A record has the time {header.MaxTimestamp}, and the broker {rules.Now}: more than message.timestamp.after.max.ms ({rules.Topic.MaximumTimestampAfterMilliseconds}) later.";
        }

        long maximumBefore = rules.Topic.MaximumTimestampBeforeMilliseconds;
        if (maximumBefore == long.MaxValue)
        {
            return null;
        }

        long earliest = EarliestTime(header, batch);
        return rules.IsTooEarly(earliest)
            ? $"A record has the time {earliest}, and the broker {rules.Now}: more than message.timestamp.before.max.ms ({maximumBefore}) earlier."
            : null;
    }

    private static long EarliestTime(in RecordBatchHeader header, ReadOnlySpan<byte> batch)
    {
        try
        {
            long earliest = long.MaxValue;
            RecordBatchReader.Visit(batch, (_, timestamp, _) =>
            {
                earliest = Math.Min(earliest, timestamp);
                return true;
            });
            return earliest;
        }
        catch (Exception exception) when (exception is InvalidRecordBatchException or CodecUnavailableException)
        {
            // Records that cannot be looked at: the first one's time stands for all.
            return header.BaseTimestamp;
        }
    }

    private static AppendResult.Rejected Refuse(AppendRejection rejection, string detail) => new(rejection, detail);
}
