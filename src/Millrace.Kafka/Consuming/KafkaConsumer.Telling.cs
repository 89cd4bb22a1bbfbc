using System.Diagnostics;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <content>What polls and commits tell of themselves, to traces and metrics.</content>
public sealed partial class KafkaConsumer
{
    // When the poll began that has not brought records yet; 0 while there is none, or while nobody wants to know.
    private long _pollStart;

    private string ClientId => _context.Settings.ClientId;

    private void BeginPoll()
    {
        if (_pollStart == 0 && Diagnostics.IsTellingOperations)
        {
            _pollStart = _context.Time.GetTimestamp();
        }
    }

    private void TellRebalance()
    {
        if (Diagnostics.Rebalances.Enabled)
        {
            Diagnostics.Rebalances.Tell(1, Diagnostics.ConsumerTags("rebalance", topic: null, ClientId, _settings.GroupId));
        }
    }

    private void TellPoll(List<ConsumerRecord> records)
    {
        TellDuration(out TimeSpan elapsed, Diagnostics.OperationDuration.Enabled ? Diagnostics.Single(records.Select(record => record.TopicPartition.Topic)) : null);
        if (Diagnostics.ConsumedMessages.Enabled)
        {
            foreach (IGrouping<string, ConsumerRecord> topic in records.GroupBy(record => record.TopicPartition.Topic))
            {
                Diagnostics.ConsumedMessages.Tell(topic.Count(), Diagnostics.ConsumerTags("poll", topic.Key, ClientId, _settings.GroupId));
            }
        }

        if (Diagnostics.IsTracing)
        {
            List<ActivityLink> links = [];
            foreach (ConsumerRecord record in records)
            {
                AddLink(links, record.TraceContext);
            }

            TellPoll(elapsed, [.. records.Select(record => record.TopicPartition).Distinct()], records.Count, links);
        }
    }

    private void TellPoll(ConsumerBatch batch)
    {
        TellDuration(out TimeSpan elapsed, batch.TopicPartition.Topic);
        if (Diagnostics.ConsumedMessages.Enabled)
        {
            Diagnostics.ConsumedMessages.Tell(batch.Count, Diagnostics.ConsumerTags("poll", batch.TopicPartition.Topic, ClientId, _settings.GroupId));
        }

        if (Diagnostics.IsTracing)
        {
            List<ActivityLink> links = [];
            foreach (RecordView record in batch)
            {
                AddLink(links, TraceContext.Of(record.Headers));
            }

            TellPoll(elapsed, [batch.TopicPartition], batch.Count, links);
        }
    }

    private void TellDuration(out TimeSpan elapsed, string? topic)
    {
        elapsed = _pollStart == 0 ? TimeSpan.Zero : _context.Time.GetElapsedTime(_pollStart);
        if (_pollStart != 0 && Diagnostics.OperationDuration.Enabled)
        {
            Diagnostics.OperationDuration.Tell(elapsed.TotalSeconds, Diagnostics.ConsumerTags("poll", topic, ClientId, _settings.GroupId));
        }

        _pollStart = 0;
    }

    private void TellPoll(TimeSpan elapsed, IReadOnlyCollection<TopicPartition> partitions, int recordCount, List<ActivityLink> links)
    {
        DateTimeOffset now = _context.Time.GetUtcNow();
        Diagnostics.TellPoll(now - elapsed, now, ClientId, _settings.GroupId, partitions, recordCount, links);
    }

    private static void AddLink(List<ActivityLink> links, ActivityContext context)
    {
        if (context != default && links.Count < Diagnostics.MaxLinkCount)
        {
            links.Add(new ActivityLink(context));
        }
    }

    private async Task CommitAndTellAsync(
        OffsetStore store,
        IReadOnlyCollection<TopicPartitionOffset> offsets,
        ConsumerGroupMetadata member,
        long[] assignments,
        long begun,
        CancellationToken cancellationToken)
    {
        Activity? activity = Diagnostics.StartCommit(ClientId, _settings.GroupId, offsets);
        using Ending ending = activity.Ending();
        long start = _context.Time.GetTimestamp();
        string? errorType = null;
        try
        {
            await CommitAsync(store, offsets, member, assignments, begun, cancellationToken);
        }
        catch (Exception failure)
        {
            errorType = Diagnostics.SetFailed(activity, failure);
            throw;
        }
        finally
        {
            if (Diagnostics.OperationDuration.Enabled)
            {
                string? topic = Diagnostics.Single(offsets.Select(offset => offset.TopicPartition.Topic));
                Diagnostics.OperationDuration.Tell(
                    _context.Time.GetElapsedTime(start).TotalSeconds, Diagnostics.ConsumerTags("commit", topic, ClientId, _settings.GroupId, errorType));
            }
        }
    }
}
