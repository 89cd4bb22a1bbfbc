using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace;

/// <content>Polling: the consumer, its failures, and what it hands out.</content>
internal sealed partial class EndpointRunner
{
    private const int MaxPollRecords = 500;

    /// <summary>After so long without a failure the next one counts as the first.</summary>
    private static readonly TimeSpan s_calm = TimeSpan.FromMinutes(2);

    private async Task RunAsync()
    {
        CancellationToken stopping = _stopping.Token;
        bool isSubscribed = false;
        int failureCount = 0;
        TimeSpan lastFailureAt = Now;
        Exception? lastFailure = null;
        while (!stopping.IsCancellationRequested)
        {
            try
            {
                if (!isSubscribed) await _consumer.SubscribeAsync(_endpoint.Topics, this, stopping);
                isSubscribed = true;
                await PollAsync(stopping);
                lastFailure = null;
            }
            catch (OperationCanceledException) when (stopping.IsCancellationRequested)
            {
                return;
            }
#pragma warning disable CA1031 // Whatever fails, the endpoint goes on trying: an endpoint that gives up loses messages silently.
            catch (Exception failure)
#pragma warning restore CA1031
            {
                if (Now - lastFailureAt > s_calm) failureCount = 0;
                lastFailureAt = Now;
                TimeSpan delay = _backoff.DelayAfter(++failureCount);
                // A consumer that is dead says so with one and the same exception, call after call. One that lives may tell a refusal of its log several times.
                bool isDead = ReferenceEquals(failure, lastFailure) && failure is not KafkaException;
                lastFailure = failure;
                if (isDead)
                {
                    LogMessages.ConsumerDead(_logger, _endpoint.Name, failure.Message, failureCount, delay);
                    await PauseAsync(delay, stopping);
                    await ReplaceConsumerAsync();
                    isSubscribed = false;
                }
                else
                {
                    LogMessages.PollFailed(_logger, failure, _endpoint.Name, failure.Message, failureCount, delay);
                    _ = ReadAgainAsync(failure, delay, stopping);
                    await PauseAsync(_backoff.DelayAfter(1), stopping);
                }
            }
        }
    }

    /// <summary>Joins the group anew: everything begins at the committed offsets.</summary>
    private async Task ReplaceConsumerAsync()
    {
        // Revokes what it still has, commits included, and leaves the group if it can.
        await _consumer.DisposeAsync();
        List<Sequencer> leftOver;
        lock (_gate)
        {
            leftOver = [.. _scheduler.Sequencers];
            leftOver.ForEach(sequencer => sequencer.Close());
        }

        Release(leftOver);
        _consumer = _createConsumer();
    }

    /// <summary>
    /// Asks for what failed again where it stands: the consumer reads no further on a partition whose records it cannot read, unless it is told to. Whatever else a broker
    /// refuses it tries again by itself. Never throws.
    /// </summary>
    private async Task ReadAgainAsync(Exception failure, TimeSpan delay, CancellationToken stopping)
    {
        if (failure is KafkaException and not KafkaCorruptBatchException) return;
        await PauseAsync(delay, stopping);
        try
        {
            // At the gate no assignment comes or goes, so that a position is not taken from one and given to the next.
            await EnterPollGateAsync(stopping);
        }
        catch (OperationCanceledException)
        {
            return;
        }

        try
        {
            List<TopicPartition> partitions;
            // The others go on as they are: who seeks drops what is fetched, and no longer knows the epoch of the record before. A failure that names none may be of any.
            lock (_gate) partitions = [.. _scheduler.Sequencers.Select(sequencer => sequencer.TopicPartition).Where(partition => failure is not KafkaCorruptBatchException damage || damage.Partition == partition)];
            foreach (TopicPartition partition in partitions)
            {
                if (_consumer.Position(partition) is { } position) await SeekAsync(partition, position);
            }
        }
        finally
        {
            _pollGate.Release();
        }
    }

    private async Task SeekAsync(TopicPartition partition, Offset offset)
    {
        try
        {
            await _consumer.SeekAsync(partition, offset);
        }
        catch (Exception failure) when (failure is InvalidOperationException or KafkaException)
        {
            // It is not here any more, or the consumer is closed or dead: whoever has it next begins at what is committed.
            LogMessages.NotSought(_logger, _endpoint.Name, partition, failure.Message);
        }
    }

    private async Task PollAsync(CancellationToken stopping)
    {
        await _pollGate.WaitAsync(stopping);
        using CancellationTokenSource poll = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        IReadOnlyList<ConsumerRecord> inHand = [];
        try
        {
            lock (_gate)
            {
                // A callback that came before this line has no poll to interrupt; it is in line for the gate, and gets it.
                if (_callbacksWaiting > 0) return;
                _poll = poll;
            }

            int maxRecords = CommitsBeforeHandling ? Math.Min(_endpoint.MaxConcurrency, MaxPollRecords) : MaxPollRecords;
            IReadOnlyList<ConsumerRecord> records = await _consumer.PollAsync(maxRecords, poll.Token);
            if (CommitsBeforeHandling)
            {
                inHand = records;
                // Set before the commit: from then on the records are neither unread nor running. A new version too: who looked
                // before this line and asks for the committed offsets after the commit would take the records for done.
                lock (_gate)
                {
                    _isTakingIn = true;
                    _version++;
                }

                await CommitBeforeHandlingAsync(records, poll.Token);
                inHand = [];
            }

            TakeIn(records);
        }
        catch (OperationCanceledException) when (poll.IsCancellationRequested && !stopping.IsCancellationRequested)
        {
            // A rebalance callback wants the gate.
        }
        finally
        {
            await GiveBackAsync(inHand);
            lock (_gate) (_poll, _isTakingIn) = (null, false);
            _pollGate.Release();
        }
    }

    /// <summary>Lets the next poll hand out again what was handed out and not taken in. Of partitions that go, the next owner reads it.</summary>
    private async Task GiveBackAsync(IReadOnlyList<ConsumerRecord> records)
    {
        foreach (IGrouping<TopicPartition, ConsumerRecord> partition in records.GroupBy(record => record.TopicPartition))
            await SeekAsync(partition.Key, partition.First().Offset);
    }

    private async Task EnterPollGateAsync(CancellationToken cancellationToken)
    {
        // First in line for the gate, then the interruption: the poll that ends hands the gate over, and the loop cannot take
        // it again in between. Not awaited before the gate: what hangs on the token is the loop itself, which goes on inside
        // the cancellation until it waits for the gate.
        Task entered = _pollGate.WaitAsync(cancellationToken);
        CancellationTokenSource? poll;
        lock (_gate)
        {
            _callbacksWaiting++;
            poll = _poll;
        }

        try
        {
            Task interrupted = Interrupt(poll);
            await entered;
            await interrupted.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        finally
        {
            lock (_gate) _callbacksWaiting--;
        }
    }

    private Task Interrupt(CancellationTokenSource? poll)
    {
        try
        {
            return poll?.CancelAsync() ?? Task.CompletedTask;
        }
        catch (ObjectDisposedException)
        {
            // The poll has ended by itself since the lock.
            LogMessages.PollEndedByItself(_logger, _endpoint.Name);
            return Task.CompletedTask;
        }
    }

    private void TakeIn(IReadOnlyList<ConsumerRecord> records)
    {
        List<Delivery> started = [];
        lock (_gate)
        {
            foreach (ConsumerRecord record in records) _scheduler.Enqueue(record);
            foreach (TopicPartition partition in records.Select(record => record.TopicPartition).Distinct()) UpdateFlow(partition);
            while (_scheduler.TryStart(out Delivery? delivery)) started.Add(delivery);
            _isTakingIn = false;
            _version++;
        }

        Launch(started);
        _onChanged();
    }
}
