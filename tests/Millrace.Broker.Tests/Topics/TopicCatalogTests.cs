using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker.Tests;

public sealed class TopicCatalogTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task A_creation_that_was_cut_short_is_finished_with_as_many_partitions_as_were_asked_for(int directoriesMade)
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        broker.Storage.DirectoriesBeforeFailure = directoriesMade;
        Assert.Equal(ErrorCode.KafkaStorageError, await CreateAsync(broker, "orders", 3));
        broker.Storage.DirectoriesBeforeFailure = null;

        await broker.CrashAndRestartAsync();

        Topic topic = broker.Broker.Topics.Find("orders")!;
        Assert.Equal(3, topic.Partitions.Count);
        Assert.All(topic.Partitions, partition => Assert.Equal(topic.Id, partition!.TopicId));
        Assert.Contains(broker.Logs.Lines, line => line.EventId == 2201 && line.Text.Contains("orders"));

        await using TestClient client = broker.Connect();
        Assert.Equal(ErrorCode.None, (await client.ProduceAsync("orders", Batches.Of("a"), partition: 0)).ErrorCode);
    }

    [Fact]
    public async Task Partition_0_comes_last()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        broker.Storage.DirectoriesBeforeFailure = 2;
        await CreateAsync(broker, "orders", 3);

        Assert.Equal(
            ["orders-1", "orders-2"],
            broker.Storage.List(broker.DataDirectory).Where(entry => entry.IsDirectory && entry.Name.StartsWith("orders-")).Select(entry => entry.Name));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public async Task A_directory_that_somebody_removed_is_not_replaced_by_an_empty_one(int removed)
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders", 3);
        await using (TestClient client = broker.Connect())
        {
            await client.ProduceAsync("orders", Batches.Of("a"), partition: 2);
        }

        await broker.StopAndStartAsync(() => Directory.Delete(Path.Combine(broker.DataDirectory, $"orders-{removed}"), recursive: true));

        await using TestClient again = broker.Connect();
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, (await again.ProduceAsync("orders", Batches.Of("b"), partition: removed)).ErrorCode);
        Assert.Equal([(0, "a")], Batches.Read((await again.FetchAsync("orders", 0, partition: 2)).Records));
        MetadataResponse metadata = await again.SendAsync<MetadataRequest, MetadataResponse>(
            new MetadataRequest { Topics = [new MetadataRequestTopic { Name = "orders" }] }, 12);
        Assert.Equal(3, metadata.Topics[0].Partitions.Count);
        Assert.Equal(ErrorCode.LeaderNotAvailable, metadata.Topics[0].Partitions[removed].ErrorCode);
        Assert.Contains(broker.Logs.Lines, line => line.EventId == 2202 && line.Text.Contains(new TopicPartition("orders", removed).ToString()));
    }

    [Fact]
    public async Task A_topic_none_of_whose_partitions_can_be_read_is_not_changed_and_no_other_one_is_taken_for_it()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        string[] names = ["orders", "payments"];
        foreach (string name in names)
        {
            await broker.CreateTopicAsync(name);
            await using TestClient producer = broker.Connect();
            await producer.ProduceAsync(name, Batches.Of(name));
        }

        await broker.CrashAndRestartAsync(() => Array.ForEach(names, name => broker.Hide($"{name}-0")));
        await using TestClient client = broker.Connect();
        foreach (string name in names)
        {
            Assert.Equal(ErrorCode.KafkaStorageError, await AddPartitionsAsync(client, name, 2));
            Assert.Equal(ErrorCode.KafkaStorageError, await DeleteAsync(client, name));
        }

        foreach (string name in names)
        {
            await broker.BringBackAsync(new TopicPartition(name, 0));
            await broker.BecomesTrueWithTimeAsync(() => broker.Broker.Topics.Find(name)!.Id != Guid.Empty, "the topic has its id");
            Assert.Equal([(0, name)], Batches.Read((await client.FetchAsync(name, 0)).Records));
        }

        Assert.Equal(ErrorCode.None, await AddPartitionsAsync(client, "orders", 2));
        Assert.All(broker.Broker.Topics.Find("orders")!.Partitions, partition => Assert.Equal(broker.Partition("orders").TopicId, partition!.TopicId));
        Assert.Equal(ErrorCode.None, await DeleteAsync(client, "payments"));
        Assert.Equal(ErrorCode.None, await DeleteAsync(client, "orders"));
        await broker.RestartAsync();
        Assert.DoesNotContain(broker.Broker.Topics.All, static topic => !topic.IsInternal);
    }

    [Fact]
    public async Task A_partition_that_could_not_be_read_goes_with_its_topic()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders", 2);
        await using (TestClient producer = broker.Connect())
        {
            await producer.ProduceAsync("orders", Batches.Of("old"), partition: 1);
        }

        await broker.CrashAndRestartAsync(() => broker.Hide("orders-1"));
        await using TestClient client = broker.Connect();
        Assert.Equal(ErrorCode.None, await DeleteAsync(client, "orders"));
        Assert.DoesNotContain(broker.Storage.List(broker.DataDirectory), static entry => entry.Name.StartsWith("orders", StringComparison.Ordinal));
        await broker.CreateTopicAsync("orders", 2);
        Assert.Equal(0, (await client.ProduceAsync("orders", Batches.Of("new"), partition: 1)).BaseOffset);
        Assert.All(broker.Broker.Topics.Find("orders")!.Partitions, partition => Assert.Equal(broker.Partition("orders").TopicId, partition!.TopicId));
    }

    [Fact]
    public async Task A_topic_that_lacks_partition_0_and_cannot_be_read_is_not_taken_for_a_creation_that_was_cut_short()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders", 2);
        await using (TestClient producer = broker.Connect())
        {
            await producer.ProduceAsync("orders", Batches.Of("a"), partition: 1);
        }

        await broker.CrashAndRestartAsync(() =>
        {
            Directory.Delete(Path.Combine(broker.DataDirectory, "orders-0"), recursive: true);
            broker.Hide("orders-1");
        });
        Assert.False(Directory.Exists(Path.Combine(broker.DataDirectory, "orders-0")));
        Assert.Null(broker.Broker.Topics.Find("orders")!.Partitions[0]);
        await broker.BringBackAsync(new TopicPartition("orders", 1));
        await using TestClient client = broker.Connect();
        await broker.BecomesTrueWithTimeAsync(() => !broker.Broker.Topics.Find("orders")!.IsUndecided, "it is known that a directory was removed");
        Assert.Null(broker.Broker.Topics.Find("orders")!.Partitions[0]);
        Assert.Contains(broker.Logs.Lines, static line => line.EventId == 2202);
        Assert.Equal(ErrorCode.None, (await client.ProduceAsync("orders", Batches.Of("b"), partition: 1)).ErrorCode);
        Assert.Equal([(0, "a"), (1, "b")], Batches.Read((await client.FetchAsync("orders", 0, partition: 1)).Records));
    }

    [Theory]
    [InlineData(TransactionProtocol.Classic)]
    [InlineData(TransactionProtocol.Implicit)]
    [InlineData(null)]
    internal async Task Ends_of_transactions_are_not_written_to_a_topic_whose_creation_may_have_been_cut_short(TransactionProtocol? protocol)
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using (TestClient before = broker.Connect())
        {
            Assert.Equal(ErrorCode.None, await new TransactionClient(before, "id").InitAsync());
        }

        broker.Storage.DirectoriesBeforeFailure = 2;
        Assert.Equal(ErrorCode.KafkaStorageError, await CreateAsync(broker, "orders", 3));
        broker.Storage.DirectoriesBeforeFailure = null;
        await broker.CrashAndRestartAsync(() => broker.Storage.UnreadablePartition = "orders-2");
        await using TestClient client = broker.Connect();
        if (protocol is { } spoken)
        {
            TransactionClient producer = new(client, "id", spoken);
            await producer.InitUntilDoneAsync();
            Assert.NotEqual(ErrorCode.None, await producer.WriteAsync("orders", "a", partition: 1));
            await producer.EndAsync(isCommit: false);
        }
        else
        {
            WritableTxnMarkerTopic topic = new() { Name = "orders", Partitions = [1] };
            WriteTxnMarkersResponse response = await client.SendAsync<WriteTxnMarkersRequest, WriteTxnMarkersResponse>(
                new WriteTxnMarkersRequest { Markers = [new WritableTxnMarker { ProducerId = 4711, ProducerEpoch = 0, Topics = [topic] }] }, 1);
            Assert.Equal(ErrorCode.KafkaStorageError, response.Markers[0].Topics[0].Partitions[0].ErrorCode);
        }

        // A marker would have it look like a topic that was whole.
        broker.Storage.UnreadablePartition = null;
        await broker.BecomesTrueWithTimeAsync(() => !broker.Broker.Topics.Find("orders")!.IsUndecided, "it is known that the creation was cut short");
        Assert.All(broker.Broker.Topics.Find("orders")!.Partitions, Assert.NotNull);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task A_creation_that_was_cut_short_is_finished_when_the_partition_is_back_that_could_not_be_read(int directoriesMade)
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        broker.Storage.DirectoriesBeforeFailure = directoriesMade;
        Assert.Equal(ErrorCode.KafkaStorageError, await CreateAsync(broker, "orders", 3));
        broker.Storage.DirectoriesBeforeFailure = null;

        await broker.CrashAndRestartAsync(() => broker.Storage.UnreadablePartition = "orders-2");
        await using TestClient client = broker.Connect();
        Assert.True(broker.Broker.Topics.Find("orders")!.IsUndecided);
        Assert.Contains(broker.Logs.Lines, static line => line.EventId == 2213 && line.Text.Contains("orders-2"));
        Assert.DoesNotContain(broker.Logs.Lines, static line => line.EventId == 2202);

        // One record, and the next start would take the topic for one of which somebody has removed partition 0.
        Assert.Equal(directoriesMade == 2 ? ErrorCode.KafkaStorageError : ErrorCode.UnknownTopicOrPartition, (await client.ProduceAsync("orders", Batches.Of("a"), partition: 1)).ErrorCode);
        Assert.Equal(ErrorCode.KafkaStorageError, (await client.ProduceAsync("orders", Batches.Of("a"), partition: 2)).ErrorCode);
        Assert.Equal(ErrorCode.KafkaStorageError, await AddPartitionsAsync(client, "orders", 4));

        // The disk does not let it be finished at first.
        broker.Storage.DirectoriesBeforeFailure = 0;
        broker.Storage.UnreadablePartition = null;
        await broker.BecomesTrueWithTimeAsync(() => broker.Logs.Lines.Any(static line => line.EventId == 2214), "the disk has refused to finish the creation");
        Assert.Equal(ErrorCode.KafkaStorageError, (await client.ProduceAsync("orders", Batches.Of("a"), partition: 2)).ErrorCode);
        broker.Storage.DirectoriesBeforeFailure = null;
        await broker.BecomesTrueWithTimeAsync(() => !broker.Broker.Topics.Find("orders")!.IsUndecided, "the creation is finished");

        Topic topic = broker.Broker.Topics.Find("orders")!;
        Assert.Equal(3, topic.Partitions.Count);
        Assert.Equal(3, broker.Broker.Topics.PartitionCount);
        Assert.All(topic.Partitions, partition => Assert.Equal(topic.Id, partition!.TopicId));
        for (int partition = 0; partition < 3; partition++)
        {
            Assert.Equal(ErrorCode.None, (await client.ProduceAsync("orders", Batches.Of("a"), partition: partition)).ErrorCode);
            Assert.Equal([(0, "a")], Batches.Read((await client.FetchAsync("orders", 0, partition: partition)).Records));
        }

        Assert.Equal(ErrorCode.None, await AddPartitionsAsync(client, "orders", 4));
        Assert.Equal(4, broker.Broker.Topics.PartitionCount);
    }

    [Fact]
    public async Task A_start_that_cannot_finish_a_creation_says_so_and_the_next_one_finishes_it()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        broker.Storage.DirectoriesBeforeFailure = 1;
        Assert.Equal(ErrorCode.KafkaStorageError, await CreateAsync(broker, "orders", 3));
        broker.Storage.DirectoriesBeforeFailure = 0;

        BrokerStartException refused = await Assert.ThrowsAsync<BrokerStartException>(() => broker.CrashAndRestartAsync());

        Assert.Equal(BrokerStartFailure.DataDirectory, refused.Failure);
        Assert.Contains("Topic orders was being created", refused.Message, StringComparison.Ordinal);
        broker.Storage.DirectoriesBeforeFailure = null;
        await broker.CrashAndRestartAsync();
        Assert.Equal(3, broker.Broker.Topics.Find("orders")!.Partitions.Count);
    }

    [Fact]
    public async Task Many_clients_that_ask_for_one_topic_create_it_once()
    {
        await using TestBroker broker = await TestBroker.StartAsync(options => options.DefaultPartitionCount = 2);
        MetadataResponse[] responses = await Task.WhenAll(Enumerable.Range(0, 16).Select(async _ =>
        {
            await using TestClient client = broker.Connect();
            return await client.SendAsync<MetadataRequest, MetadataResponse>(
                new MetadataRequest { Topics = [new MetadataRequestTopic { Name = "orders" }] }, 12);
        }));

        Assert.All(responses, response => Assert.Equal((ErrorCode.None, 2), (response.Topics[0].ErrorCode, response.Topics[0].Partitions.Count)));
        Assert.Single(responses.Select(response => response.Topics[0].TopicId).Distinct());
    }

    [Theory]
    [InlineData(SimulatedCrashKind.ProcessKill)]
    [InlineData(SimulatedCrashKind.PowerLoss)]
    public void A_crash_at_any_operation_of_a_creation_leaves_all_partitions_or_none(SimulatedCrashKind kind)
    {
        int finished = 0;
        int absent = 0;
        bool wasAcknowledged = false;
        for (int seed = 0; seed < 5; seed++)
        {
            wasAcknowledged = false;
            for (int operation = 0; !wasAcknowledged; operation++)
            {
                var disk = new SimulatedStorage(seed);
                using (LogDirectory log = OpenLog(disk))
                {
                    TopicCatalog catalog = OpenCatalog(log, disk);
                    disk.CrashAfter(operation);
                    wasAcknowledged = TryCreate(catalog);
                }

                SimulatedStorage after = disk.Crash(kind);
                using LogDirectory recovered = OpenLog(after);
                Topic? topic = OpenCatalog(recovered, after).Find("orders");

                // Acknowledged: it is there. Not acknowledged: it may be there, but never with fewer partitions than were asked for.
                Assert.True(topic is not null || !wasAcknowledged, $"seed {seed}, operation {operation}: an acknowledged topic is gone");
                if (topic is null)
                {
                    absent++;
                    continue;
                }

                finished++;
                Assert.Equal(3, topic.Partitions.Count);
                Assert.All(topic.Partitions, partition => Assert.Equal(topic.Id, partition!.TopicId));
            }
        }

        Assert.True(finished > 10 && absent > 10, $"{finished} creations were finished and {absent} dropped: the crashes struck at too few places");
    }

    [Theory]
    [InlineData(SimulatedCrashKind.ProcessKill, false)]
    [InlineData(SimulatedCrashKind.ProcessKill, true)]
    [InlineData(SimulatedCrashKind.PowerLoss, false)]
    [InlineData(SimulatedCrashKind.PowerLoss, true)]
    public void A_crash_at_any_operation_of_a_deletion_leaves_all_of_a_topic_or_nothing(SimulatedCrashKind kind, bool isSecondRequest)
    {
        int whole = 0;
        int gone = 0;
        for (int seed = 0; seed < 5; seed++)
        {
            bool wasAcknowledged = false;
            for (int operation = 0; !wasAcknowledged; operation++)
            {
                var disk = new SimulatedStorage(seed);
                using (LogDirectory log = OpenLog(disk))
                {
                    TopicCatalog catalog = OpenCatalog(log, disk);
                    catalog.Create("orders", 3, new Dictionary<string, string> { ["cleanup.policy"] = "compact" });
                    if (isSecondRequest)
                    {
                        // Neither is the deletion certain to be written down, nor that there is none.
                        disk.FailNext(SimulatedOperation.SyncDirectory, "data");
                        disk.FailNext(SimulatedOperation.SyncDirectory, "data");
                        Assert.False(TryDelete(catalog));
                    }

                    disk.CrashAfter(operation);
                    wasAcknowledged = TryDelete(catalog);
                }

                SimulatedStorage after = disk.Crash(kind);
                using LogDirectory recovered = OpenLog(after);
                TopicCatalog again = OpenCatalog(recovered, after);
                Topic? topic = again.Find("orders");
                if (topic is not null)
                {
                    whole++;
                    Assert.False(wasAcknowledged, $"seed {seed}, operation {operation}: a topic that was deleted is back");
                    Assert.Equal(3, topic.Partitions.Count);
                    Assert.All(topic.Partitions, Assert.NotNull);
                    continue;
                }

                // Gone, with its settings; the name is free when what groups committed is gone too.
                gone++;
                Assert.Empty(recovered.Partitions);
                Assert.Empty(recovered.Overrides("orders"));
                Assert.Equal(["orders"], again.UnfinishedDeletions);
                Assert.IsType<TopicCreation.Refused>(again.Create("orders", 1));
                Assert.True(again.FinishDeletion("orders"));
                Assert.IsType<TopicCreation.Created>(again.Create("orders", 1));
            }
        }

        Assert.True(whole > 3 && gone > 3, $"{whole} topics stayed and {gone} were gone: the crashes struck at too few places");
    }

    [Theory]
    [InlineData(SimulatedCrashKind.ProcessKill)]
    [InlineData(SimulatedCrashKind.PowerLoss)]
    public void A_crash_while_partitions_are_added_leaves_a_whole_topic(SimulatedCrashKind kind)
    {
        bool wasAcknowledged = false;
        var counts = new HashSet<int>();
        for (int operation = 0; !wasAcknowledged; operation++)
        {
            var disk = new SimulatedStorage(1);
            using (LogDirectory log = OpenLog(disk))
            {
                TopicCatalog catalog = OpenCatalog(log, disk);
                catalog.Create("orders", 2);
                disk.CrashAfter(operation);
                wasAcknowledged = TryAdd(catalog);
            }

            SimulatedStorage after = disk.Crash(kind);
            using LogDirectory recovered = OpenLog(after);
            Topic topic = OpenCatalog(recovered, after).Find("orders")!;
            Assert.InRange(topic.Partitions.Count, wasAcknowledged ? 5 : 2, 5);
            Assert.All(topic.Partitions, partition => Assert.Equal(topic.Id, partition!.TopicId));
            counts.Add(topic.Partitions.Count);
        }

        Assert.Equal(4, counts.Count);
    }

    private static bool TryAdd(TopicCatalog catalog)
    {
        try
        {
            return catalog.AddPartitions("orders", 5) is TopicCreation.Created;
        }
        catch (SimulatedCrashException)
        {
            return false;
        }
    }

    private static bool TryDelete(TopicCatalog catalog)
    {
        try
        {
            return (catalog.Find("orders") is { } topic ? catalog.Delete(topic) : catalog.ResumeDeletion("orders")) is TopicDeletion.Deleted;
        }
        catch (SimulatedCrashException)
        {
            return false;
        }
    }

    private static bool TryCreate(TopicCatalog catalog)
    {
        try
        {
            return catalog.Create("orders", 3) is TopicCreation.Created;
        }
        catch (SimulatedCrashException)
        {
            return false;
        }
    }

    private static LogDirectory OpenLog(SimulatedStorage disk) =>
        LogDirectory.Open(new LogDirectoryOptions { Path = "data" }, disk, new ManualTime(), new Random(1), new RecordingLogs());

    private static TopicCatalog OpenCatalog(LogDirectory log, IStorage disk) => TopicCatalog.Open(
        log, TopicDeletions.Open(disk, "data"), new PartitionWaits(new ManualTime()), () => new Guid(1, 2, 3, [4, 5, 6, 7, 8, 9, 10, 11]), maxPartitionCount: 100, new RecordingLogs());

    private static async Task<ErrorCode> AddPartitionsAsync(TestClient client, string name, int partitionCount)
    {
        CreatePartitionsResponse response = await client.SendAsync<CreatePartitionsRequest, CreatePartitionsResponse>(
            new CreatePartitionsRequest { Topics = [new CreatePartitionsTopic { Name = name, Count = partitionCount, Assignments = null }] }, 3);
        return response.Results[0].ErrorCode;
    }

    private static async Task<ErrorCode> DeleteAsync(TestClient client, string name)
    {
        DeleteTopicsResponse response = await client.SendAsync<DeleteTopicsRequest, DeleteTopicsResponse>(
            new DeleteTopicsRequest { TimeoutMilliseconds = 30_000, TopicNames = [name] }, 5);
        return response.Responses[0].ErrorCode;
    }

    private static async Task<ErrorCode> CreateAsync(TestBroker broker, string name, int partitionCount)
    {
        await using TestClient client = broker.Connect();
        CreateTopicsResponse response = await client.SendAsync<CreateTopicsRequest, CreateTopicsResponse>(
            new CreateTopicsRequest { Topics = [new CreatableTopic { Name = name, PartitionCount = partitionCount, ReplicationFactor = 1 }] }, 7);
        return response.Topics[0].ErrorCode;
    }
}
