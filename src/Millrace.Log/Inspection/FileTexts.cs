using System.Buffers.Binary;
using Millrace.Kafka.Records;

namespace Millrace.Log;

// What the files beside a log say, as text. The names of the fields are those that Kafka's tools print.

internal static class IndexText
{
    public static IEnumerable<string> Offsets(string name, byte[] bytes)
    {
        bool isNamed = FileNames.TryParseSegment(name, FileNames.IndexSuffix, out Offset baseOffset);
        return Entries(bytes, OffsetIndex.EntryByteCount, isNamed, entry =>
            $"offset: {baseOffset + BinaryPrimitives.ReadInt32BigEndian(entry)} position: {BinaryPrimitives.ReadInt32BigEndian(entry.AsSpan(4))}");
    }

    public static IEnumerable<string> Times(string name, byte[] bytes)
    {
        bool isNamed = FileNames.TryParseSegment(name, FileNames.TimeIndexSuffix, out Offset baseOffset);
        return Entries(bytes, TimeIndex.EntryByteCount, isNamed, entry =>
            $"timestamp: {BinaryPrimitives.ReadInt64BigEndian(entry)} offset: {baseOffset + BinaryPrimitives.ReadInt32BigEndian(entry.AsSpan(8))}");
    }

    public static IEnumerable<string> Transactions(byte[] bytes) => Entries(bytes, TransactionIndex.EntryByteCount, isNamed: true, static entry =>
    {
        AbortedTransaction transaction = TransactionIndex.ReadEntry(entry);
        return $"version: {BinaryPrimitives.ReadInt16BigEndian(entry)} producerId: {transaction.ProducerId} firstOffset: {transaction.FirstOffset} "
            + $"lastOffset: {transaction.LastOffset} lastStableOffset: {transaction.LastStableOffset}";
    });

    private static IEnumerable<string> Entries(byte[] bytes, int entryByteCount, bool isNamed, Func<byte[], string> describe)
    {
        if (!isNamed)
        {
            yield return "The file is not named by its first offset: offsets are counted from 0.";
        }

        foreach (byte[] entry in bytes.Chunk(entryByteCount))
        {
            yield return entry.Length == entryByteCount
                ? describe(entry)
                : $"The file ends with {entry.Length} bytes that are no whole entry of {entryByteCount}.";
        }
    }
}

internal static class SnapshotText
{
    public static IEnumerable<string> Describe(byte[] bytes)
    {
        if (!ProducerSnapshot.TryRead(bytes, out List<ProducerState>? producers))
        {
            yield return "The snapshot fails its checksum or is of another format.";
            yield break;
        }

        foreach (ProducerState producer in producers)
        {
            string transaction = producer.TransactionFirstOffset is { } first ? first.ToString() : "none";
            yield return $"producerId: {producer.Id} producerEpoch: {producer.Epoch} coordinatorEpoch: {producer.CoordinatorEpoch} "
                + $"currentTxnFirstOffset: {transaction} lastTimestamp: {producer.LastTimestamp}";
            for (int age = producer.BatchCount; age > 0; age--)
            {
                SequencedBatch batch = producer.Batch(age);
                yield return $"| firstSequence: {batch.BaseSequence} lastSequence: {batch.LastSequence} firstOffset: {batch.BaseOffset} lastOffset: {batch.LastOffset}";
            }
        }
    }
}

internal static class CheckpointText
{
    public static IEnumerable<string> Offsets(string text) => OffsetCheckpoint.TryParse(text, out Dictionary<TopicPartition, Offset>? offsets)
        ? offsets.Select(static line => $"{line.Key}: {line.Value}")
        : Damaged(text, columnCount: 3);

    public static IEnumerable<string> LeaderEpochs(string text) => Millrace.Log.LeaderEpochs.TryParse(text) is { } epochs
        ? epochs.Starts.Select(static start => $"epoch: {start.Epoch} startOffset: {start.StartOffset}")
        : Damaged(text, columnCount: 2);

    private static string[] Damaged(string text, int columnCount)
    {
        var fault = CheckpointFault.Find(text, columnCount);
        return [$"The file is damaged at byte {fault.Position}: {fault.Description}. It reads:", .. text.TrimEnd('\n').Split('\n')];
    }
}
