using System.Collections.Immutable;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker.Tests;

/// <summary>Markers that are missing in a partition which is offline, while the transactions of their id go on in others.</summary>
public sealed class OwedMarkersTests
{
    private static readonly TopicPartition Orders = new("orders", 0);

    [Fact]
    public async Task What_is_left_of_a_decision_over_very_many_partitions_is_found_without_a_search_for_each()
    {
        TopicPartition[] partitions = [.. Enumerable.Range(0, 300_000).Select(static number => new TopicPartition("orders", number))];
        OwedMarkers decision = new(
            new ProducerIdentity(1, 0),
            IsCommit: true,
            partitions.ToImmutableSortedDictionary(static partition => partition, static _ => new PartitionEnd(new Offset(1), 0), TopicPartition.Order));
        List<OwedMarkers> left = await Task.Run(() => OwedMarkers.LeftOf([decision], partitions)).WaitAsync(TestClient.Patience);
        Assert.Equal(partitions.Length, Assert.Single(left).Partitions.Count);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task While_a_marker_may_be_missing_in_a_partition_that_is_offline_transactions_of_others_are_ended(bool isCommit)
    {
        await using TestBroker broker = await StartAsync();
        TransactionClient producer = await CommitAsync(broker);
        await broker.CrashAndRestartAsync(() => LoseMarker(broker));
        await using TestClient client = broker.Connect();
        producer = producer.On(client);
        Assert.Equal(ErrorCode.None, await producer.WriteAsync("payments", "b"));
        Assert.Equal(ErrorCode.None, await producer.EndAsync(isCommit));
        string[] expected = isCommit ? ["a", "b"] : ["a"];
        Assert.Equal(expected, await client.ReadCommittedAsync("payments"));

        await IsSettledAsync(broker, Orders);
        Assert.Equal(["a"], await client.ReadCommittedAsync("orders"));
        Assert.Equal(expected, await client.ReadCommittedAsync("payments"));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Later_decisions_and_starts_keep_what_is_known_of_a_marker_that_may_be_missing(bool losesPower)
    {
        await using TestBroker broker = await StartAsync();
        TransactionClient producer = await CommitAsync(broker);
        await broker.CrashAndRestartAsync(() => LoseMarker(broker));
        for (int round = 0; round < 3; round++)
        {
            await using (TestClient client = broker.Connect())
            {
                producer = producer.On(client);
                if (losesPower)
                {
                    await producer.InitUntilDoneAsync();
                }

                // Were it taken for the decision about what is open in the other partition, that would be aborted.
                Assert.Equal(ErrorCode.None, await producer.WriteAsync("payments", $"b{round}"));
                Assert.Equal(ErrorCode.None, await producer.EndAsync(isCommit: false));
            }

            await (losesPower ? broker.LosePowerAndRestartAsync() : broker.CrashAndRestartAsync());
        }

        await IsSettledAsync(broker, Orders);
        await using TestClient reader = broker.Connect();
        Assert.Equal(["a"], await reader.ReadCommittedAsync("orders"));
        Assert.Equal(["a"], await reader.ReadCommittedAsync("payments"));
    }

    [Fact]
    public async Task A_marker_that_a_running_broker_loses_holds_nobody_back()
    {
        await using TestBroker broker = await StartAsync();
        TransactionClient producer = await CommitAsync(broker);
        await LoseMarkerAtWorkAsync(broker);
        await using TestClient client = broker.Connect();
        producer = producer.On(client);
        Assert.Equal(ErrorCode.None, await producer.WriteAsync("payments", "b"));
        Assert.Equal(ErrorCode.None, await producer.EndAsync(isCommit: false));
        Assert.Equal(["a"], await client.ReadCommittedAsync("payments"));

        await broker.ReturnsAsync(Orders);
        await SettlesAsync(broker);
        Assert.Equal(["a"], await client.ReadCommittedAsync("orders"));
    }

    [Fact]
    public async Task Later_records_name_a_decision_until_its_markers_are_on_the_disk()
    {
        await using TestBroker broker = await StartAsync();
        TransactionClient producer = await CommitAsync(broker);
        (TransactionState? state, IReadOnlyList<OwedMarkers> owed) = (LastRecord(broker).State, LastRecord(broker).Owed);
        Assert.Equal(TransactionStatus.CompleteCommit, state!.Status);
        Assert.Equal(["orders", "payments"], owed.Single().Partitions.Keys.Select(static partition => partition.Topic));
        Assert.True(owed.Single().IsCommit);

        foreach (PartitionLog partition in (PartitionLog[])[broker.Partition("orders"), broker.Partition("payments")])
        {
            partition.WantSync();
            await Conditions.BecomesTrueAsync(() => partition.SyncedOffset == partition.LogEndOffset, "the marker is on the disk");
        }

        await using TestClient client = broker.Connect();
        Assert.Equal(ErrorCode.None, await producer.On(client).WriteAsync("payments", "b"));
        Assert.Equal(TransactionStatus.Ongoing, LastRecord(broker).State!.Status);
        Assert.Empty(LastRecord(broker).Owed);
    }

    [Fact]
    public async Task A_marker_that_an_idle_producer_is_owed_is_written_down_behind_its_decision()
    {
        await using TestBroker broker = await StartAsync();
        await CommitAsync(broker);
        await LoseMarkerAtWorkAsync(broker);
        broker.Time.Advance(TransactionSettings.MarkerSyncDelay);
        Assert.Contains(Orders, LastRecord(broker).Owed.Single().Partitions.Keys);
    }

    [Fact]
    public async Task An_id_is_not_forgotten_while_a_marker_of_it_may_be_missing()
    {
        await using TestBroker broker = await StartAsync(static options => (options.TransactionMaxTimeout, options.TransactionalIdExpiration) = (TimeSpan.FromMinutes(1), TimeSpan.FromMinutes(1)));
        await CommitAsync(broker);
        await broker.CrashAndRestartAsync(() => LoseMarker(broker));
        broker.Time.Advance(TimeSpan.FromMinutes(1));
        broker.Time.Advance(TimeSpan.FromMinutes(1));
        await using TestClient client = broker.Connect();
        await IsSettledAsync(broker, Orders);
        Assert.Equal(["a"], await client.ReadCommittedAsync("orders"));
    }

    [Fact]
    public async Task A_decision_about_records_that_the_power_took_is_not_one_about_those_that_come_to_their_place()
    {
        await using TestBroker broker = await StartAsync();
        await using (TestClient before = broker.Connect())
        {
            TransactionClient aborted = new(before, "id");
            await aborted.InitAsync();
            Assert.Equal(ErrorCode.None, await aborted.WriteAsync("orders", "lost"));
            Assert.Equal(ErrorCode.None, await aborted.EndAsync(isCommit: false));
        }

        PartitionLog orders = broker.Partition("orders");
        await broker.LosePowerAndRestartAsync(() => broker.CutLog(orders));
        Assert.Equal(new Offset(0), broker.Partition("orders").LogEndOffset);
        TransactionClient producer;
        await using (TestClient client = broker.Connect())
        {
            producer = new(client, "id");
            await producer.InitUntilDoneAsync();
            Assert.Equal(ErrorCode.None, await producer.WriteAsync("orders", "a"));
            Assert.Equal(ErrorCode.None, await producer.WriteAsync("payments", "a"));
        }

        await broker.CrashAndRestartAsync();
        await using TestClient afterwards = broker.Connect();
        Assert.Equal(ErrorCode.None, await producer.On(afterwards).EndAsync(isCommit: true));
        Assert.Equal(["a"], await afterwards.ReadCommittedAsync("payments"));
        Assert.Equal(["a"], await afterwards.ReadCommittedAsync("orders"));
    }

    private static async Task<TestBroker> StartAsync(Action<BrokerOptions>? configure = null)
    {
        TestBroker broker = await TestBroker.StartAsync(options =>
        {
            options.TransactionStateTopicPartitionCount = 1;
            configure?.Invoke(options);
        });
        await broker.CreateTopicAsync("orders");
        await broker.CreateTopicAsync("payments");
        return broker;
    }

    private static async Task<TransactionClient> CommitAsync(TestBroker broker)
    {
        await using TestClient client = broker.Connect();
        TransactionClient producer = new(client, "id");
        await producer.InitAsync();
        Assert.Equal(ErrorCode.None, await producer.WriteAsync("orders", "a"));
        Assert.Equal(ErrorCode.None, await producer.WriteAsync("payments", "a"));
        Assert.Equal(ErrorCode.None, await producer.EndAsync(isCommit: true));
        return producer;
    }

    /// <summary>Takes the marker of the only transaction out of the log, and the partition away.</summary>
    private static void LoseMarker(TestBroker broker)
    {
        string path = Path.Combine(broker.DataDirectory, "orders-0", "00000000000000000000.log");
        using FileStream log = new(path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
        byte[] header = new byte[RecordBatchHeader.ByteCount];
        log.ReadExactly(header);
        log.SetLength(RecordBatchHeader.Read(header).TotalByteCount);
        broker.Hide("orders-0");
    }

    /// <summary>The disk does not take the marker.</summary>
    private static async Task LoseMarkerAtWorkAsync(TestBroker broker)
    {
        PartitionLog orders = broker.Partition("orders");
        broker.Storage.FailsSyncs = true;
        orders.WantSync();
        await Conditions.BecomesTrueAsync(() => !orders.IsOnline, "the partition is offline");
        broker.Storage.FailsSyncs = false;
        broker.CutLog(orders);
    }

    private static async Task IsSettledAsync(TestBroker broker, TopicPartition partition)
    {
        Assert.False(broker.Partition(partition.Topic).IsOnline);
        await broker.BringBackAsync(partition);
        await SettlesAsync(broker);
    }

    private static Task SettlesAsync(TestBroker broker) =>
        Conditions.BecomesTrueAsync(() => broker.Partition("orders") is { AwaitsSettlement: false, OpenTransactions.Count: 0 }, "no transaction is open");

    private static TransactionRecord LastRecord(TestBroker broker)
    {
        PartitionLog log = broker.Partition("__transaction_state");
        ReadResult.Data data = Assert.IsType<ReadResult.Data>(log.Read(Offset.Zero, int.MaxValue, atLeastOneBatch: true, log.LogEndOffset));
        ReadOnlyMemory<byte> rest = data.Batches;
        while (RecordBatchHeader.Read(rest.Span).TotalByteCount < rest.Length)
        {
            rest = rest[RecordBatchHeader.Read(rest.Span).TotalByteCount..];
        }

        Assert.True(TransactionRecord.TryRead(RecordBatchReader.Read(rest).Last(), out TransactionRecord read, out string? error), error);
        return read;
    }
}
