using Millrace.Interop.Tests.Programs;

namespace Millrace.Interop.Tests;

/// <summary>Transactions of librdkafka's producer, and what its consumer sees of them.</summary>
public sealed class LibrdkafkaTransactionTests
{
    private const string Input = "input";
    private const string Output = "output";

    [Fact]
    public async Task A_reader_of_committed_records_sees_what_is_committed_and_the_offsets_go_with_it()
    {
        Librdkafka.Require();
        await using StandaloneBroker broker = await StandaloneBroker.StartAsync();
        using (NativeProducer source = new(broker))
        {
            Array.ForEach(["0", "1", "2"], value => source.Produce(Input, value));
            source.WaitForDeliveries(3);
        }

        using NativeConsumer mover = Read(broker, Input, "movers", "read_committed");
        List<NativeRecord> input = mover.PollUntil("all is read", records => records.Count == 3);
        using (NativeProducer producer = new(broker, ("transactional.id", "mover")))
        {
            producer.InitTransactions();
            foreach (NativeRecord record in input)
            {
                producer.BeginTransaction();
                producer.Produce(Output, record.Value);
                producer.WaitForDeliveries(1);
                producer.SendOffsets(mover, Input, partition: 0, record.Offset + 1);
                if (record.Offset == 1)
                {
                    producer.AbortTransaction();
                    Assert.Equal(1, mover.Committed(Input, 0));
                }
                else
                {
                    producer.CommitTransaction();
                    Assert.Equal(record.Offset + 1, mover.Committed(Input, 0));
                }
            }
        }

        using NativeConsumer committed = Read(broker, Output, "committed", "read_committed");
        using NativeConsumer all = Read(broker, Output, "all", "read_uncommitted");
        Assert.Equal(["0", "2"], committed.PollUntil("the last is read", records => records.Any(record => record.Value == "2")).Select(record => record.Value));
        Assert.Equal(["0", "1", "2"], all.PollUntil("the last is read", records => records.Any(record => record.Value == "2")).Select(record => record.Value));
    }

    [Fact]
    public async Task A_new_producer_of_the_same_transactional_id_aborts_what_the_old_one_has_open_and_shuts_it_out()
    {
        Librdkafka.Require();
        await using StandaloneBroker broker = await StandaloneBroker.StartAsync();
        using NativeProducer old = new(broker, ("transactional.id", "only-one"));
        old.InitTransactions();
        old.BeginTransaction();
        old.Produce(Output, "old");
        old.WaitForDeliveries(1);

        using NativeProducer fresh = new(broker, ("transactional.id", "only-one"));
        fresh.InitTransactions();
        fresh.BeginTransaction();
        fresh.Produce(Output, "fresh");
        fresh.WaitForDeliveries(1);
        NativeClientException shutOut = Assert.Throws<NativeClientException>(old.CommitTransaction);
        fresh.CommitTransaction();

        Assert.True(shutOut.IsFatal);
        Assert.Equal("_FENCED", shutOut.Error);
        using NativeConsumer committed = Read(broker, Output, "committed", "read_committed");
        Assert.Equal("fresh", Assert.Single(committed.PollUntil("something is read", records => records.Count > 0)).Value);
    }

    private static NativeConsumer Read(StandaloneBroker broker, string topic, string group, string isolationLevel)
        => new(broker, topic, ("group.id", group), ("isolation.level", isolationLevel), ("enable.auto.commit", "false"));
}
