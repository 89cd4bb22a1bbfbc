using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>Asks leaders for offsets: one attempt, one answer or failure a partition.</summary>
internal sealed class OffsetLookup(
    ClientContext context, ConnectionPool pool, MetadataCache metadata, IsolationLevel isolationLevel = IsolationLevel.ReadUncommitted)
{
    /// <summary>The first version that answers with one offset.</summary>
    private const short FirstVersion = 1;

    /// <summary>An answer, or why there is none.</summary>
    /// <param name="Offset">The offset; null where no record is as late as the time asked for.</param>
    /// <param name="Failure">Why there is no answer.</param>
    /// <param name="LeaderEpoch">The epoch of the record at the offset; -1 if unknown.</param>
    /// <param name="Timestamp">The time of the record that was found by time, in milliseconds since 1970; else -1.</param>
    /// <param name="AskedEpoch">The epoch of the leader that was asked; -1 if unknown.</param>
    public readonly record struct Found(Offset? Offset, KafkaException? Failure, int LeaderEpoch = -1, long Timestamp = -1, int AskedEpoch = -1);

    /// <summary>Asks every leader once, and waits for all of them. An offset of null means that no record is as late as the time asked for.</summary>
    public async Task<Dictionary<TopicPartition, Found>> AskAsync(
        IReadOnlyCollection<TopicPartition> partitions,
        long timestamp,
        CancellationToken cancellationToken)
    {
        Dictionary<TopicPartition, Found>[] answers = await Task.WhenAll(AskEach(partitions, timestamp, cancellationToken));
        return answers.SelectMany(answer => answer).ToDictionary(item => item.Key, item => item.Value);
    }

    /// <summary>Asks every leader once, side by side. One of the answers is for partitions that have no leader.</summary>
    public List<Task<Dictionary<TopicPartition, Found>>> AskEach(
        IReadOnlyCollection<TopicPartition> partitions,
        long timestamp,
        CancellationToken cancellationToken)
    {
        var found = new Dictionary<TopicPartition, Found>();
        var byLeader = new Dictionary<BrokerAddress, List<(TopicPartition Partition, int LeaderEpoch)>>();
        ClusterView view = metadata.View;
        foreach (TopicPartition partition in partitions)
        {
            if (view.TryGetLeader(partition, out BrokerDescription? leader, out int epoch))
            {
                if (!byLeader.TryGetValue(leader.Address, out List<(TopicPartition, int)>? list))
                {
                    byLeader.Add(leader.Address, list = []);
                }

                list.Add((partition, epoch));
            }
            else
            {
                found[partition] = new Found(null, (KafkaException?)metadata.Refusal ?? view.NoLeader(partition));
            }
        }

        List<Task<Dictionary<TopicPartition, Found>>> answers = [.. byLeader.Select(leader => AskLeaderAsync(leader.Key, leader.Value, timestamp, cancellationToken))];
        if (found.Count > 0)
        {
            answers.Add(Task.FromResult(found));
        }

        return answers;
    }

    private async Task<Dictionary<TopicPartition, Found>> AskLeaderAsync(
        BrokerAddress address,
        List<(TopicPartition Partition, int LeaderEpoch)> targets,
        long timestamp,
        CancellationToken cancellationToken)
    {
        var found = new Dictionary<TopicPartition, Found>();
        try
        {
            BrokerConnection connection = await pool.GetAsync(address, ConnectionPurpose.General, cancellationToken);
            var request = new ListOffsetsRequest
            {
                IsolationLevel = (sbyte)isolationLevel,
                TimeoutMilliseconds = (int)context.Settings.RequestTimeout.TotalMilliseconds,
                Topics = [.. targets.GroupBy(target => target.Partition.Topic).Select(topic => new ListOffsetsTopic
                {
                    Name = topic.Key,
                    Partitions = [.. topic.Select(target => new ListOffsetsPartition
                    {
                        Index = target.Partition.Partition,
                        CurrentLeaderEpoch = target.LeaderEpoch,
                        Timestamp = timestamp,
                    })],
                })],
            };
            var asked = targets.ToDictionary(target => target.Partition, target => target.LeaderEpoch);
            ListOffsetsResponse response = await connection.SendAsync<ListOffsetsRequest, ListOffsetsResponse>(
                request, context.Settings.RequestTimeout, cancellationToken, connection.VersionOf(ListOffsetsRequest.Api, FirstVersion));
            foreach (ListOffsetsTopicResponse topic in response.Topics)
            {
                foreach (ListOffsetsPartitionResponse partition in topic.Partitions)
                {
                    var name = new TopicPartition(topic.Name, partition.Index);
                    if (!asked.TryGetValue(name, out int askedEpoch))
                    {
                        continue;
                    }

                    found[name] = partition.ErrorCode == ErrorCode.None
                        ? new Found(partition.Offset >= 0 ? new Offset(partition.Offset) : null, null, partition.LeaderEpoch, partition.Timestamp, askedEpoch)
                        : new Found(null, new KafkaBrokerException(
                            $"{address} answered ListOffsets for {name}: {KafkaErrors.Describe(partition.ErrorCode)}", partition.ErrorCode));
                }
            }
        }
        catch (KafkaException failure)
        {
            foreach ((TopicPartition partition, _) in targets)
            {
                found[partition] = new Found(null, failure);
            }
        }

        foreach ((TopicPartition partition, _) in targets)
        {
            found.TryAdd(partition, new Found(null, new KafkaProtocolException($"{address} left {partition} out of its answer to ListOffsets.")));
        }

        return found;
    }

    /// <summary>Whether a failed look-up is worth another one.</summary>
    public static bool IsRetriable(KafkaException failure) =>
        failure.IsTransient || failure.ErrorCode is ErrorCode.FencedLeaderEpoch or ErrorCode.UnknownLeaderEpoch;
}
