using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker.Tests;

public sealed class CoordinatorPartitionTests
{
    [Fact]
    public async Task A_bug_in_who_takes_an_outcome_ends_neither_the_process_nor_the_outcomes_behind_it()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        PartitionLog log = broker.Partition("orders");
        HeldRuntime runtime = new();
        CoordinatorPartition partition = new(log, runtime, broker.Logs);
        List<string> told = [];
        Assert.Equal(ErrorCode.None, partition.Append(Batches.Of("a"), (_, _) => throw new InvalidOperationException("a bug"), () => told.Add("abandoned")));
        Assert.Equal(ErrorCode.None, partition.Append(Batches.Of("b"), (error, offset) => told.Add($"{error} at {offset}"), () => told.Add("not this one")));
        await Conditions.BecomesTrueAsync(() => log.SyncedOffset == new Offset(2) && runtime.Work is not null, "both are on the disk");

        runtime.Work!.Execute();

        Assert.Equal(["abandoned", "None at 1"], told);
        Assert.Contains(broker.Logs.Lines, static line => line.EventId == 2317 && line.Text.Contains("orders-0") && line.Text.Contains("a bug"));
    }

    /// <summary>Keeps what it is to run, so that a test runs it where it can see what becomes of it.</summary>
    private sealed class HeldRuntime : BrokerRuntime
    {
        private volatile IThreadPoolWorkItem? _work;

        public IThreadPoolWorkItem? Work => _work;

        public override IAsyncDisposable StartCommitter(LogDirectory log, TimeProvider time) => throw new NotSupportedException();

        public override void Queue(IThreadPoolWorkItem work) => _work = work;

        public override void Randomize(Span<byte> bytes) => bytes.Clear();
    }
}
