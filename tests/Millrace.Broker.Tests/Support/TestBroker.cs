using System.Net;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker.Tests;

/// <summary>A broker on real files in a directory of its own, which can be stopped, crashed and started again on the same data.</summary>
internal sealed class TestBroker : IAsyncDisposable
{
    private readonly string _directory;
    private readonly Action<BrokerOptions>? _configure;

    private TestBroker(string directory, Action<BrokerOptions>? configure)
    {
        _directory = directory;
        _configure = configure;
    }

    public KafkaBroker Broker { get; private set; } = null!;

    public GatedStorage Storage { get; } = new(new FileStorage());

    public ManualTime Time { get; } = new();

    public RecordingLogs Logs { get; } = new();

    public string DataDirectory => _directory;

    public IPEndPoint EndPoint => Broker.ListenEndPoint!;

    public static Task<TestBroker> StartAsync(Action<BrokerOptions>? configure = null) =>
        StartAsync(Directory.CreateTempSubdirectory("millrace-broker-").FullName, configure);

    public static Task<TestBroker> StartListeningAsync(Action<BrokerOptions>? configure = null) => StartAsync(options =>
    {
        options.Listen = new IPEndPoint(IPAddress.Loopback, 0);
        configure?.Invoke(options);
    });

    public TestClient Connect() => new(Broker.Connect());

    public Task RestartAsync() => StopAndStartAsync(static () => { });

    public async Task StopAndStartAsync(Action between)
    {
        await Broker.StopAsync();
        between();
        await StartAsync();
    }

    public async Task CrashAndRestartAsync(Action? between = null)
    {
        Broker.Abort();
        between?.Invoke();
        await StartAsync();
    }

    /// <summary>As after a loss of power that happened to lose nothing: the broker cannot know that.</summary>
    public Task LosePowerAndRestartAsync(Action? between = null)
    {
        Storage.BootId += " and another one";
        return CrashAndRestartAsync(between);
    }

    /// <summary>Takes away what a partition cannot be opened without.</summary>
    public void Hide(string partition) => File.Move(MetadataOf(partition), MetadataOf(partition) + "-hidden");

    /// <summary>Puts it back, and waits until the partition is online by itself.</summary>
    public async Task BringBackAsync(TopicPartition partition)
    {
        File.Move(MetadataOf(partition.ToString()) + "-hidden", MetadataOf(partition.ToString()));
        await ReturnsAsync(partition);
    }

    /// <summary>Waits until a partition that is offline is online by itself.</summary>
    public Task ReturnsAsync(TopicPartition partition) =>
        BecomesTrueWithTimeAsync(() => Broker.Topics.Find(partition)!.IsOnline, $"{partition} is online again");

    /// <summary>
    /// Waits for something that a while brings about. Time goes on in small steps, and slowly after many of them: on a busy machine they pass before another thread
    /// gets to read a file, and no transaction may time out by that.
    /// </summary>
    public Task BecomesTrueWithTimeAsync(Func<bool> condition, string what, TimeSpan? step = null) =>
        BecomesTrueWithTimeAsync(() => Task.FromResult(condition()), what, step);

    /// <summary>The same, for what has to be asked for.</summary>
    public Task BecomesTrueWithTimeAsync(Func<Task<bool>> condition, string what, TimeSpan? step = null)
    {
        int stepCount = 0;
        return Conditions.BecomesTrueAsync(
            () =>
            {
                if (++stepCount < 1000 || stepCount % 1000 == 0)
                {
                    Time.Advance(step ?? TimeSpan.FromMilliseconds(10));
                }

                return condition();
            },
            what);
    }

    public async Task CreateTopicAsync(string name, int partitionCount = 1)
    {
        await using TestClient client = Connect();
        CreateTopicsResponse response = await client.SendAsync<CreateTopicsRequest, CreateTopicsResponse>(
            new CreateTopicsRequest { Topics = [new CreatableTopic { Name = name, PartitionCount = partitionCount, ReplicationFactor = 1 }] }, 7);
        Assert.Equal(ErrorCode.None, response.Topics[0].ErrorCode);
    }

    public PartitionLog Partition(string topic, int partition = 0) => Broker.Topics.Find(new TopicPartition(topic, partition))!;

    /// <summary>Leaves of the partition's log what is known to be on the disk.</summary>
    public void CutLog(PartitionLog partition)
    {
        string path = Path.Combine(DataDirectory, partition.TopicPartition.ToString(), "00000000000000000000.log");
        byte[] bytes = File.ReadAllBytes(path);
        int position = 0;
        while (RecordBatchHeader.Read(bytes.AsSpan(position)).LastOffset < partition.SyncedOffset)
        {
            position += RecordBatchHeader.Read(bytes.AsSpan(position)).TotalByteCount;
        }

        using FileStream log = new(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite);
        log.SetLength(position);
    }

    public async ValueTask DisposeAsync()
    {
        Storage.FailsSyncs = false;
        Storage.OpenGate();
        await Broker.StopAsync();
        Directory.Delete(_directory, recursive: true);
    }

    private string MetadataOf(string partition) => Path.Combine(_directory, partition, "partition.metadata");

    private static async Task<TestBroker> StartAsync(string directory, Action<BrokerOptions>? configure)
    {
        var broker = new TestBroker(directory, configure);
        await broker.StartAsync();
        return broker;
    }

    private async Task StartAsync()
    {
        // Without a journal: tests hold back and fail the syncs of single partitions.
        var options = new BrokerOptions { DataDirectory = _directory, CommitJournalByteCount = 0 };
        _configure?.Invoke(options);
        Broker = await KafkaBroker.StartAsync(options, Storage, Time, Logs);
    }
}
