using System.Globalization;
using System.Text;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Simulation.Tests;

/// <summary>Reads partitions as a consumer does, and turns the bytes of records into their numbers and back.</summary>
internal static class BrokerReader
{
    public const sbyte ReadCommitted = 1;

    private const short FetchVersion = 12;

    public static byte[] ValueOf(ModelRecord record) => Encoding.ASCII.GetBytes(record.Id.ToString(CultureInfo.InvariantCulture));

    public static FetchRequest Request(TopicPartition partition, Offset from, bool isCommitted, int maxByteCount, int maxWaitMilliseconds) => new()
    {
        MaxWaitMilliseconds = maxWaitMilliseconds,
        MinBytes = 1,
        MaxBytes = maxByteCount,
        IsolationLevel = isCommitted ? ReadCommitted : (sbyte)0,
        SessionEpoch = -1,
        Topics =
        [
            new FetchTopic
            {
                Name = partition.Topic,
                Partitions = [new FetchPartition { Index = partition.Partition, FetchOffset = from.Value, MaxBytes = maxByteCount }],
            },
        ],
    };

    public static async Task<FetchPartitionResponse?> FetchAsync(
        SimulatedLink link, TopicPartition partition, Offset from, bool isCommitted, int maxByteCount, int maxWaitMilliseconds)
    {
        FetchResponse? response = await link.SendAsync<FetchRequest, FetchResponse>(
            Request(partition, from, isCommitted, maxByteCount, maxWaitMilliseconds), FetchVersion);
        return response?.Topics[0].Partitions[0];
    }

    /// <summary>The batches of an answer, which lie without a gap from where they were asked for. A reader of committed records leaves out what was aborted.</summary>
    public static List<ReadBatch> Batches(FetchPartitionResponse response, Offset from, bool isCommitted, out Offset next)
    {
        List<ReadBatch> batches = [];
        ReadOnlyMemory<byte> rest = response.Records.GetValueOrDefault();
        var aborted = new PriorityQueue<long, long>((response.AbortedTransactions ?? []).Select(static entry => (entry.ProducerId, entry.FirstOffset)));
        HashSet<long> aborting = [];
        next = from;
        while (!rest.IsEmpty)
        {
            Require.That(RecordBatch.Check(rest.Span, out RecordBatchHeader header) == BatchVerdict.Valid, "a batch that is read is whole");
            bool isNext = header.BaseOffset == next || (next == from && header.BaseOffset <= from && header.LastOffset >= from);
            Require.That(isNext, $"offsets are dense: {header.BaseOffset} follows {next}");
            next = header.NextOffset;
            while (aborted.TryPeek(out long producer, out long first) && first <= header.LastOffset.Value)
            {
                aborting.Add(producer);
                aborted.Dequeue();
            }

            if (header.IsControl)
            {
                aborting.Remove(header.Producer.Id);
            }

            bool isLeftOut = header.IsControl || (isCommitted && header.IsTransactional && aborting.Contains(header.Producer.Id));
            batches.Add(new ReadBatch(header, isLeftOut ? [] : IdsOf(rest[..header.TotalByteCount])));
            rest = rest[header.TotalByteCount..];
        }

        return batches;
    }

    public static int[] IdsOf(ReadOnlyMemory<byte> batch) =>
        [.. RecordBatchReader.Read(batch).Select(static record => int.Parse(Encoding.ASCII.GetString(record.Value!.Value.Span), CultureInfo.InvariantCulture))];
}
