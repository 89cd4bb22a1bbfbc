using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace.Simulation.Tests;

/// <summary>Reads orders as a member of a group, writes one shipment for each, and commits both in one transaction (KIP-447).</summary>
/// <remarks>
/// As the documentation says: it polls, works, sends the offsets with the metadata of the consumer, and commits. Its partitions may move, and come back, anywhere in between; sometimes its
/// callback for revoked partitions waits until the transaction is over.
/// </remarks>
internal sealed class ShipmentWorker(ClientSimulation world, string name, bool isCooperative) : ClientProgram(world, name)
{
    private TaskCompletionSource? _underWay;

    public override bool Writes => true;

    public override async Task RunAsync(SimulatedProcess process)
    {
        _underWay = null;
        await using KafkaClient client = process.NewClient();
        bool isOver = false;
        while (!isOver)
        {
            try
            {
                isOver = await WorkAsync(client);
            }
            catch (Exception failure) when (failure is KafkaProducerFencedException or KafkaTransactionFatalException)
            {
                Note($"begins anew: {failure.Message}");
            }
            finally
            {
                _underWay?.TrySetResult();
            }
        }
    }

    private async Task<bool> WorkAsync(KafkaClient client)
    {
        await using KafkaProducer producer = client.CreateProducer(NewProducerOptions(Name));
        await LedgerWriter.PatientlyAsync(() => producer.InitTransactionsAsync());
        await using KafkaConsumer consumer = client.CreateConsumer(NewConsumerOptions(World.Model.Workers.Name, isCommitted: true, isCooperative));
        var watch = new GroupWatch(World, World.Model.Workers, consumer) { Revoking = World.Chance(50) ? null : _ => _underWay?.Task ?? Task.CompletedTask };
        await consumer.SubscribeAsync(["orders"], watch);
        while (World.IsEnding || !World.Chance(2))
        {
            IReadOnlyList<ConsumerRecord> records = await PollAsync(consumer, 2000);
            if (records.Count == 0)
            {
                if (World.AreOrdersComplete && await IsAllDoneAsync(consumer, ClientSimulation.Orders))
                {
                    return true;
                }

                continue;
            }

            _underWay = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            foreach (ConsumerRecord record in records)
            {
                watch.Read(record, IdOf(record));
            }

            if (World.Chance(20))
            {
                await World.PauseAsync(World.Chance(80) ? 100 : 9000);
            }

            if (!await TransactAsync(producer, consumer, records) && World.Sabotage != ClientSabotage.ForgetRewind)
            {
                await RewindAsync(consumer, watch);
            }

            _underWay.TrySetResult();
        }

        return false;
    }

    private async Task<bool> TransactAsync(KafkaProducer producer, KafkaConsumer consumer, IReadOnlyList<ConsumerRecord> records)
    {
        TopicPartitionOffset[] offsets =
        [
            .. records.GroupBy(static record => record.TopicPartition).Select(static partition => new TopicPartitionOffset(partition.Key, partition.Last().Offset + 1)),
        ];
        producer.BeginTransaction();
        List<Task> underWay = [];
        try
        {
            foreach (ConsumerRecord record in records)
            {
                underWay.Add(ProduceAsync(producer, ClientSimulation.Shipments[record.TopicPartition.Partition], IdOf(record)));
            }

            await SendOffsetsAsync(producer, consumer, offsets);
            await LedgerWriter.PatientlyAsync(() => producer.CommitTransactionAsync());
            Note($"has shipped {string.Join(", ", records.Select(IdOf))}");
            foreach (TopicPartitionOffset offset in offsets)
            {
                World.Model.Workers.Acknowledge(offset.TopicPartition, offset.Offset.Value);
            }

            return true;
        }
        catch (KafkaException failure) when (failure is not (KafkaProducerFencedException or KafkaTransactionFatalException))
        {
            Note($"has to abort: {failure.Message}");
            await LedgerWriter.PatientlyAsync(() => producer.AbortTransactionAsync());
            return false;
        }
        finally
        {
            await Task.WhenAll(underWay).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
        }
    }

    private async Task SendOffsetsAsync(KafkaProducer producer, KafkaConsumer consumer, TopicPartitionOffset[] offsets)
    {
        Array.ForEach(offsets, offset => World.Model.Workers.Ask(offset.TopicPartition, offset.Offset.Value));
        if (World.Sabotage == ClientSabotage.CommitOffsetsOutside)
        {
            await ((Task)consumer.CommitAsync(offsets)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
            return;
        }

        ConsumerGroupMetadata member = World.Sabotage == ClientSabotage.IgnoreGenerations
            ? new ConsumerGroupMetadata(World.Model.Workers.Name, -1, "")
            : consumer.GroupMetadata;
        await LedgerWriter.PatientlyAsync(() => producer.SendOffsetsToTransactionAsync(offsets, member));
    }

    /// <summary>Back to what is committed, since the transaction of what was read since is aborted.</summary>
    private async Task RewindAsync(KafkaConsumer consumer, GroupWatch watch)
    {
        while (true)
        {
            try
            {
                var partitions = consumer.Assignment.ToDictionary(static partition => partition, partition => (Reading: watch.ReadingOf(partition), Floor: watch.FloorOf(partition)));
                IReadOnlyDictionary<TopicPartition, TopicPartitionOffset> committed = await consumer.CommittedAsync(partitions.Keys);
                foreach ((TopicPartition partition, (ClientReading? reading, long floor)) in partitions)
                {
                    // What went and came back meanwhile begins at the right place by itself, and that may be behind the one that was asked for before.
                    if (reading is not null && watch.ReadingOf(partition) == reading && consumer.Assignment.Contains(partition))
                    {
                        watch.Rewind(partition, floor);
                        await consumer.SeekAsync(partition, committed.GetValueOrDefault(partition)?.Offset ?? Offset.Zero);
                    }
                }

                return;
            }
            catch (KafkaException failure)
            {
                Note($"cannot go back: {failure.Message}");
                await World.PauseAsync(1000);
            }
        }
    }
}
