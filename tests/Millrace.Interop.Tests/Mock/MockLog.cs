using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Tests;

namespace Millrace.Interop.Tests.Mock;

/// <summary>One batch as it lies in the mock cluster.</summary>
internal sealed record MockBatch(ProducerIdentity Producer, int BaseSequence, IReadOnlyList<(byte Key, int Number)> Records);

/// <summary>
/// Reads a partition of the mock cluster batch by batch, and makes of it what a broker would have.
/// </summary>
/// <remarks>
/// A broker takes the batches of an idempotent producer in the order of their sequences, and drops one that it has. The mock cluster takes everything, as it comes: after an
/// error or a lost answer, batches lie there twice, and behind others that were sent after them. What a test can claim is that the names that a broker goes by are right: what is there twice is the same batch
/// under the same producer, epoch and sequence, and the sequences go on without a gap. In their order the records are as a broker would have them.
/// </remarks>
internal static class MockLog
{
    private const short FetchVersion = 11;

    public static async Task<List<MockBatch>> ReadAsync(MockCluster cluster, string topic, int partition)
    {
        List<MockBatch> batches = [];
        long offset = 0;
        while (true)
        {
            FetchPartitionResponse response = await FetchAsync(cluster, topic, partition, offset);
            Assert.Equal(ErrorCode.None, response.ErrorCode);
            if (response.Records is not { Length: > 0 } bytes)
            {
                Assert.Equal(response.HighWatermark, offset);
                return batches;
            }

            RecordBatchHeader header = RecordBatchHeader.Read(bytes.Span);
            Kafka.Records.Record[] records = [.. RecordBatchReader.Read(bytes)];
            batches.Add(new MockBatch(header.Producer, header.BaseSequence, [.. records.Select(record => (record.Key!.Value.Span[0], BitConverter.ToInt32(record.Value!.Value.Span)))]));
            offset = header.BaseOffset.Value + header.RecordCount;
        }
    }

    /// <summary>The batches that a broker would have, of one idempotent producer.</summary>
    public static List<MockBatch> AsBrokerWould(List<MockBatch> batches)
    {
        Dictionary<(ProducerIdentity, int), MockBatch> known = [];
        List<MockBatch> first = [];
        foreach (MockBatch batch in batches)
        {
            if (known.TryAdd((batch.Producer, batch.BaseSequence), batch))
            {
                first.Add(batch);
            }
            else
            {
                Assert.Equal(known[(batch.Producer, batch.BaseSequence)].Records, batch.Records);
            }
        }

        first.Sort((one, other) => one.BaseSequence.CompareTo(other.BaseSequence));
        int expected = 0;
        foreach (MockBatch batch in first)
        {
            Assert.Equal((first[0].Producer, expected), (batch.Producer, batch.BaseSequence));
            expected += batch.Records.Count;
        }

        return first;
    }

    private static async Task<FetchPartitionResponse> FetchAsync(MockCluster cluster, string topic, int partition, long offset)
    {
        // Any broker may lead it at the moment; the others say so.
        for (int turn = 0; ; turn++)
        {
            FetchResponse response = await ClusterCalls.SendAsync<FetchRequest, FetchResponse>(
                cluster.Brokers[turn % MockCluster.BrokerCount],
                new FetchRequest
                {
                    MaxWaitMilliseconds = 0,
                    Topics = [new FetchTopic { Name = topic, Partitions = [new FetchPartition { Index = partition, FetchOffset = offset, MaxBytes = 1 << 20 }] }],
                },
                FetchVersion, CancellationToken.None);
            FetchPartitionResponse found = response.Topics.Single().Partitions.Single();
            if (found.ErrorCode != ErrorCode.NotLeaderOrFollower || turn > 10)
            {
                return found;
            }
        }
    }
}
