using System.Diagnostics.Metrics;
using System.Net;
using Millrace.Kafka.Protocol;
using Millrace.Log;
using static Millrace.Broker.Tests.GroupRequestsOfTests;

namespace Millrace.Broker.Tests;

public sealed class KafkaBrokerTests
{
    [Fact]
    public async Task Records_survive_a_clean_restart()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using (TestClient client = broker.Connect())
        {
            ProducePartitionResponse produced = await client.ProduceAsync("orders", Batches.Of("a", "b"));
            Assert.Equal((ErrorCode.None, 0L), (produced.ErrorCode, produced.BaseOffset));
        }

        int epoch = broker.Partition("orders").LeaderEpoch;
        await broker.RestartAsync();

        await using TestClient again = broker.Connect();
        FetchPartitionResponse fetched = await again.FetchAsync("orders", 0);
        Assert.Equal([(0, "a"), (1, "b")], Batches.Read(fetched.Records));
        Assert.Equal(2, fetched.HighWatermark);
        Assert.Equal(epoch, broker.Partition("orders").LeaderEpoch);
        Assert.Contains(broker.Logs.Lines, line => line.EventId == 2001);
    }

    [Fact]
    public async Task Nothing_of_the_broker_runs_in_the_context_of_who_connects_to_it_or_stops_it()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        CountingContext context = new();
        TestClient client = context.Run(broker.Connect);
        await using (client)
        {
            await client.SendAsync<MetadataRequest, MetadataResponse>(new MetadataRequest { Topics = [] }, 9);
        }

        // Were it to go on in there, the stop would wait for whoever waits for the stop.
        Task stop = context.Run(() => broker.Broker.StopAsync());
        await stop.WaitAsync(TestClient.Patience);
        Assert.Equal(0, context.PostCount);
    }

    [Fact]
    public async Task A_listener_of_a_meter_that_throws_ends_nothing_that_the_broker_does()
    {
        using MeterListener listener = new()
        {
            InstrumentPublished = static (instrument, self) =>
            {
                if (instrument.Meter.Name == Diagnostics.Name)
                {
                    self.EnableMeasurementEvents(instrument);
                }
            },
        };
        listener.SetMeasurementEventCallback<int>(static (_, _, _, _) => throw new InvalidOperationException("The listener failed."));
        listener.SetMeasurementEventCallback<long>(static (_, _, _, _) => throw new InvalidOperationException("The listener failed."));
        listener.SetMeasurementEventCallback<double>(static (_, _, _, _) => throw new InvalidOperationException("The listener failed."));
        listener.Start();

        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using TestClient client = broker.Connect();
        Assert.Equal(ErrorCode.None, (await client.ProduceAsync("orders", Batches.Of("a"))).ErrorCode);
        Assert.Equal([(0, "a")], Batches.Read((await client.FetchAsync("orders", 0)).Records));
        JoinGroupResponse joined = await client.JoinAsync("group");
        Assert.Equal(ErrorCode.None, (await client.SyncAsync(Sync("group", joined, (joined.MemberId, "all")))).ErrorCode);
        Assert.Equal(ErrorCode.None, await client.CommitAsync(Commit("group", "orders", 1, joined.MemberId, joined.GenerationId)));
        await broker.Broker.StopAsync();
        Assert.True(broker.Broker.WasStoppedCleanly);
    }

    [Fact]
    public async Task After_a_crash_the_leader_epoch_rises()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        int epoch = broker.Partition("orders").LeaderEpoch;

        await broker.CrashAndRestartAsync();

        Assert.True(broker.Partition("orders").LeaderEpoch > epoch);
    }

    [Fact]
    public async Task A_stop_lets_an_append_reach_the_disk_and_answers_it()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using TestClient client = broker.Connect();
        broker.Storage.CloseGate();
        await client.PostAsync(TestClientRequests.Produce("orders", Batches.Of("a")), 9);
        await Conditions.BecomesTrueAsync(() => broker.Storage.WaitingSyncCount == 1, "the sync has begun");

        Task stop = broker.Broker.StopAsync();
        Assert.False(stop.IsCompleted);
        broker.Storage.OpenGate();
        await stop.WaitAsync(TestClient.Patience);

        (_, ProduceResponse response) = await client.ReceiveAsync<ProduceRequest, ProduceResponse>(9);
        Assert.Equal(ErrorCode.None, response.Topics[0].Partitions[0].ErrorCode);
    }

    [Fact]
    public async Task Who_stops_a_broker_that_is_being_stopped_waits_until_it_has()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using TestClient client = broker.Connect();
        broker.Storage.CloseGate();
        await client.PostAsync(TestClientRequests.Produce("orders", Batches.Of("a")), 9);
        await Conditions.BecomesTrueAsync(() => broker.Storage.WaitingSyncCount == 1, "the sync has begun");

        Task stop = broker.Broker.StopAsync();
        Task disposal = broker.Broker.DisposeAsync().AsTask();
        Assert.False(disposal.IsCompleted);
        broker.Storage.OpenGate();
        await disposal.WaitAsync(TestClient.Patience);

        Assert.Contains(broker.Logs.Lines, line => line.EventId == 2001);
        await stop;
    }

    [Fact]
    public async Task A_crash_answers_nobody()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await broker.CreateTopicAsync("orders");
        await using TestClient client = broker.Connect();
        broker.Storage.CloseGate();
        await client.PostAsync(TestClientRequests.Produce("orders", Batches.Of("a")), 9);
        await Conditions.BecomesTrueAsync(() => broker.Storage.WaitingSyncCount == 1, "the sync has begun");

        broker.Broker.Abort();
        broker.Storage.OpenGate();

        Assert.Equal(0, await client.CountResponsesUntilClosedAsync());
        Assert.DoesNotContain(broker.Logs.Lines, line => line.EventId is 2001 or 2106 or 2107);
        Assert.Throws<ObjectDisposedException>(() => broker.Broker.Connect());
    }

    [Fact]
    public async Task A_directory_in_use_is_said_in_a_sentence()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        var options = new BrokerOptions { DataDirectory = broker.DataDirectory };

        BrokerStartException refused = await Assert.ThrowsAsync<BrokerStartException>(
            () => KafkaBroker.StartAsync(options, new FileStorage(), TimeProvider.System, new RecordingLogs()));

        Assert.Equal(BrokerStartFailure.DataDirectory, refused.Failure);
        Assert.Contains(broker.DataDirectory, refused.Message);
    }

    [Fact]
    public async Task A_start_that_fails_gives_the_address_back()
    {
        await using TestBroker broker = await TestBroker.StartAsync();
        await using TestBroker listening = await TestBroker.StartListeningAsync();
        IPEndPoint endPoint = listening.EndPoint;
        await listening.Broker.StopAsync();
        var options = new BrokerOptions { DataDirectory = broker.DataDirectory, Listen = endPoint };

        await Assert.ThrowsAsync<BrokerStartException>(
            () => KafkaBroker.StartAsync(options, new FileStorage(), TimeProvider.System, new RecordingLogs()));

        options.DataDirectory = listening.DataDirectory;
        await using KafkaBroker started = await KafkaBroker.StartAsync(options, new FileStorage(), TimeProvider.System, new RecordingLogs());
        Assert.Equal(endPoint, started.ListenEndPoint);
    }

    [Fact]
    public async Task A_logger_that_throws_ends_nothing()
    {
        await using TestBroker broker = await TestBroker.StartListeningAsync(static options => options.MaxConnectionsPerAddress = 1);
        broker.Logs.Fail = true;
        using (TcpTestClient first = await TcpTestClient.ConnectAsync(broker.EndPoint))
        {
            Assert.Equal(ErrorCode.None, await AskVersionsAsync(first));
            using TcpTestClient refused = await TcpTestClient.ConnectAsync(broker.EndPoint);
            await refused.WaitUntilClosedAsync();
        }

        await Conditions.BecomesTrueAsync(() => broker.Broker.ConnectionCount == 0, "its place is free");
        using TcpTestClient next = await TcpTestClient.ConnectAsync(broker.EndPoint);
        Assert.Equal(ErrorCode.None, await AskVersionsAsync(next));

        await using TestClient member = broker.Connect();
        JoinGroupResponse joined = await member.JoinAsync("g");
        Assert.Equal(ErrorCode.None, (await member.SyncAsync(Sync("g", joined, (joined.MemberId, "all")))).ErrorCode);
        await broker.BecomesTrueWithTimeAsync(
            async () => await member.HeartbeatAsync("g", joined) == ErrorCode.UnknownMemberId, "its session is over", TimeSpan.FromSeconds(11));

        await broker.Broker.StopAsync();
        Assert.True(broker.Broker.WasStoppedCleanly);

        static async Task<ErrorCode> AskVersionsAsync(TcpTestClient client) =>
            (await client.SendAsync<ApiVersionsRequest, ApiVersionsResponse>(new ApiVersionsRequest(), 0)).ErrorCode;
    }

    [Fact]
    public async Task Every_setting_that_makes_no_sense_is_named()
    {
        var options = new BrokerOptions
        {
            DataDirectory = " ",
            AdvertisedPort = 70_000,
            DefaultPartitionCount = 0,
            MaxRequestByteCount = 2_000,
            MaxConnectionIdleTime = TimeSpan.Zero,
        };

        BrokerStartException refused = await Assert.ThrowsAsync<BrokerStartException>(
            () => KafkaBroker.StartAsync(options, new FileStorage(), TimeProvider.System, new RecordingLogs()));

        Assert.Equal(BrokerStartFailure.InvalidOptions, refused.Failure);
        Assert.All(
            ["DataDirectory", "AdvertisedPort", "DefaultPartitionCount", "MaxMessageByteCount", "MaxConnectionIdleTime"],
            name => Assert.Contains(name, refused.Message));
    }

    /// <summary>As that of a user interface whose thread is busy: what is posted to it never runs.</summary>
    private sealed class CountingContext : SynchronizationContext
    {
        private int _postCount;

        public int PostCount => Volatile.Read(ref _postCount);

        public override void Post(SendOrPostCallback d, object? state) => Interlocked.Increment(ref _postCount);

        public T Run<T>(Func<T> work)
        {
            SynchronizationContext? before = Current;
            SetSynchronizationContext(this);
            try
            {
                return work();
            }
            finally
            {
                SetSynchronizationContext(before);
            }
        }
    }
}
