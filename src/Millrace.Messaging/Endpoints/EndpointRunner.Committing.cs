using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace;

/// <content>Committing: after the handlers, and at most once before them.</content>
internal sealed partial class EndpointRunner
{
    private async Task CommitLoopAsync()
    {
        CancellationToken stopping = _stopping.Token;
        while (!stopping.IsCancellationRequested)
        {
            try
            {
                await _commitWanted.WaitAsync(stopping);
            }
            catch (OperationCanceledException)
            {
                return;
            }

            await CommitAsync(sequencers: null, stopping);
            await PauseAsync(_settings.CommitInterval, stopping);
        }
    }

    /// <summary>Commits the floors that have risen, of all partitions or of these.</summary>
    private async Task CommitAsync(List<Sequencer>? sequencers, CancellationToken cancellationToken)
    {
        // At most once, the commit came before the handler.
        if (CommitsBeforeHandling) return;
        try
        {
            // One commit at a time: an older one must not overtake a newer one.
            await _commitGate.WaitAsync(cancellationToken);
            try
            {
                List<TopicPartitionOffset> offsets;
                lock (_gate)
                {
                    offsets = sequencers is null
                        ? _scheduler.CommitsDue()
                        : [.. sequencers.Where(IsHere).Select(sequencer => sequencer.CommitDue()).OfType<TopicPartitionOffset>()];
                }

                if (offsets.Count == 0) return;
                await _consumer.CommitAsync(offsets, cancellationToken);
                MarkCommitted(offsets);
            }
            finally
            {
                _commitGate.Release();
            }
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // The floors stay uncommitted here; stopping commits them once more.
            LogMessages.CommitCancelled(_logger, _endpoint.Name);
        }
        catch (KafkaGroupFencedException failure)
        {
            // One partition that goes is enough for that: those that stay are committed when it is gone.
            LogMessages.CommitFenced(_logger, _endpoint.Name, failure.Message);
            WantCommit();
        }
#pragma warning disable CA1031 // Whatever fails, the next commit is tried: a loop that ends here would let everything be handled again one day.
        catch (Exception failure)
#pragma warning restore CA1031
        {
            LogMessages.CommitFailed(_logger, failure, _endpoint.Name, failure.Message);
            WantCommit();
        }
    }

    private void WantCommit()
    {
        lock (_gate)
        {
            if (_commitWanted.CurrentCount == 0) _commitWanted.Release();
        }
    }

    /// <summary>
    /// Commits what is committed of a partition once more: the coordinator takes that from its owner only. Nothing of the partition has
    /// been handled yet, so the position is the right one.
    /// </summary>
    private async Task ConfirmAsync(TopicPartition partition, CancellationToken cancellationToken)
    {
        KafkaConsumer consumer = _consumer;
        IReadOnlyDictionary<TopicPartition, TopicPartitionOffset> committed = await consumer.CommittedAsync([partition], cancellationToken);
        // Nothing committed: from the log's start, which an offset below it means as well.
        TopicPartitionOffset position = committed.GetValueOrDefault(partition) ?? new TopicPartitionOffset(partition, Offset.Zero);
        await consumer.CommitAsync([position], cancellationToken);
    }

    private void MarkCommitted(List<TopicPartitionOffset> offsets)
    {
        lock (_gate)
        {
            foreach (TopicPartitionOffset offset in offsets)
            {
                // A partition that came back meanwhile has a sequencer of its own, which knows nothing of this commit.
                if (_scheduler.TryGet(offset.TopicPartition, out Sequencer? sequencer) && sequencer.Floor >= offset.Offset)
                    sequencer.MarkCommitted(offset.Offset);
            }
        }
    }

    /// <summary>Returns when the commit is certain.</summary>
    /// <param name="records">What is handled after it.</param>
    /// <param name="interrupted">
    /// Cancelled when a rebalance or the stop waits. An attempt under way is let end: nobody would handle what it commits otherwise. Without
    /// an answer in time, which takes a log that fails, what it may have committed is lost.
    /// </param>
    private async Task CommitBeforeHandlingAsync(IReadOnlyList<ConsumerRecord> records, CancellationToken interrupted)
    {
        List<TopicPartitionOffset> offsets =
        [
            .. records.GroupBy(record => record.TopicPartition)
                .Select(partition => new TopicPartitionOffset(partition.Key, partition.Last().Offset.Next, partition.Last().LeaderEpoch)),
        ];
        interrupted.ThrowIfCancellationRequested();
        using CancellationTokenSource patience = new();
        await using ITimer end = _settings.InfrastructureTime.CreateTimer(
            static state => ((CancellationTokenSource)state!).Cancel(), patience, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        await using CancellationTokenRegistration interruption = interrupted.Register(() => end.Change(s_lastCommitTimeout, Timeout.InfiniteTimeSpan));
        while (true)
        {
            try
            {
                await _consumer.CommitAsync(offsets, patience.Token);
                return;
            }
            catch (KafkaException failure) when (failure is not KafkaGroupFencedException)
            {
                // Not handled before the commit is certain: handling first could handle twice.
                LogMessages.CommitFailed(_logger, failure, _endpoint.Name, failure.Message);
                await Task.Delay(s_errorPause, _settings.InfrastructureTime, interrupted);
            }
        }
    }
}
