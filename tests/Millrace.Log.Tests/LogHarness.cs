using System.Text;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka.Records;
using Millrace.Tests;

namespace Millrace.Log.Tests;

/// <summary>A data directory on a simulated disk with one partition, and the crashes and damages that tests do to it.</summary>
internal sealed class LogHarness
{
    public const string Root = "/data";
    public const string Directory = "/data/orders-0";
    public const string FirstSegment = Directory + "/00000000000000000000.log";
    public const string FirstIndex = Directory + "/00000000000000000000.index";

    public static readonly TopicPartition Orders = new("orders", 0);
    public static readonly Guid OrdersId = new("00112233-4455-6677-8899-aabbccddeeff");

    public SimulatedStorage Storage { get; private set; } = new(1);

    public ManualTime Time { get; } = new();

    // The records of most tests are from 1970: a marker with the clock's time would close every segment.
    public LogDirectoryOptions Options { get; } = new()
    {
        Path = Root,
        TopicDefaults = TopicLogSettings.Default with { SegmentMilliseconds = long.MaxValue },
    };

    public LogDirectory LogDirectory { get; private set; } = null!;

    /// <summary>What was logged.</summary>
    public List<string> Messages { get; } = [];

    public PartitionLog Log => LogDirectory.TryGet(Orders, out PartitionLog? log) ? log : throw new InvalidOperationException("no such partition");

    /// <summary>A partition that has nothing in it.</summary>
    /// <param name="seed">Of the disk: what of it a loss of power takes.</param>
    public static LogHarness WithPartition(Action<LogDirectoryOptions>? configure = null, int seed = 1)
    {
        var harness = new LogHarness { Storage = new SimulatedStorage(seed) };
        configure?.Invoke(harness.Options);
        harness.Open();
        harness.LogDirectory.Create(Orders, OrdersId);
        return harness;
    }

    public static byte[] Batch(
        int recordCount = 1,
        long producerId = -1,
        short epoch = 0,
        int sequence = 0,
        int valueByteCount = 100,
        long timestamp = 1000,
        bool isTransactional = false)
    {
        var builder = new RecordBatchBuilder();
        for (int record = 0; record < recordCount; record++)
        {
            byte[] value = Encoding.ASCII.GetBytes(new string((char)('a' + record % 26), valueByteCount));
            builder.Append(timestamp + record, [], keyIsNull: true, value, valueIsNull: false, headers: null);
        }

        return producerId < 0
            ? builder.Build().ToArray()
            : builder.Build(new ProducerIdentity(producerId, epoch), sequence, isTransactional).ToArray();
    }

    public LogDirectory Open() =>
        LogDirectory = LogDirectory.Open(Options, Storage, Time, new Random(1), new ListLogger(Messages));

    public AppendResult Append(byte[] batch, AppendDurability durability = AppendDurability.PageCache) => Log.Append(batch, durability);

    public void AppendMany(int count, AppendDurability durability = AppendDurability.PageCache)
    {
        for (int number = 0; number < count; number++)
        {
            Assert.IsType<AppendResult.Appended>(Append(Batch(), durability));
        }
    }

    public void Sync()
    {
        SyncWork work = Log.BeginSync()!;
        work.Run();
        Log.EndSync(work, null);
    }

    /// <summary>Syncs and writes the recovery points: what is in the log now is below the recovery point of the next start.</summary>
    public void Checkpoint()
    {
        Sync();
        LogDirectory.WriteRecoveryPointsOrThrow();
    }

    public void Kill() => Crash(SimulatedCrashKind.ProcessKill);

    public void Crash(SimulatedCrashKind kind) => Storage = Storage.Crash(kind);

    /// <summary>Loses what was not synced, or parts of it.</summary>
    public void LosePower() => Crash(SimulatedCrashKind.PowerLoss);

    public void KillAndOpen()
    {
        Kill();
        Open();
    }

    public byte[] ReadFile(string path)
    {
        using IStorageFile file = Storage.Open(path, StorageOpenMode.Existing);
        byte[] bytes = new byte[file.Length];
        file.Read(bytes, 0);
        return bytes;
    }

    public string ReadText(string path) => Encoding.UTF8.GetString(ReadFile(path));

    public void WriteFile(string path, byte[] bytes)
    {
        using IStorageFile file = Storage.Open(path, StorageOpenMode.Create);
        file.Write(bytes, 0);
        file.SyncData();
        Storage.SyncDirectory(path[..path.LastIndexOf('/')]);
    }

    public void WriteText(string path, string text) => WriteFile(path, Encoding.UTF8.GetBytes(text));

    /// <summary>Changes the bytes of a file.</summary>
    public void Edit(string path, Func<byte[], byte[]> edit) => WriteFile(path, edit(ReadFile(path)));

    public List<string> Files() => [.. Storage.List(Directory).Select(static entry => entry.Name)];

    public static List<RecordBatchHeader> Headers(ReadOnlyMemory<byte> batches)
    {
        var headers = new List<RecordBatchHeader>();
        while (!batches.IsEmpty)
        {
            Assert.Equal(BatchVerdict.Valid, RecordBatch.Check(batches.Span, out RecordBatchHeader header));
            headers.Add(header);
            batches = batches[header.TotalByteCount..];
        }

        return headers;
    }

    public List<RecordBatchHeader> ReadHeaders(long from = 0, int maximumByteCount = int.MaxValue) =>
        Headers(Assert.IsType<ReadResult.Data>(Log.Read(new Offset(from), maximumByteCount, atLeastOneBatch: true, Log.LogEndOffset)).Batches);

    private sealed class ListLogger(List<string> messages) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            lock (messages)
            {
                messages.Add(formatter(state, exception));
            }
        }
    }

    /// <summary>The finding of the last start under this condition.</summary>
    public RecoveryFinding Finding(RecoveryCondition condition) =>
        Assert.Single(LogDirectory.Recovery.Findings, finding => finding.Condition == condition);
}

/// <summary>A second look at a disk, opened and let go.</summary>
internal sealed class LogHarnessView : IDisposable
{
    public LogHarnessView(IStorage storage, LogDirectoryOptions options) =>
        Directory = LogDirectory.Open(options, storage, TimeProvider.System, new Random(1), NullLogger.Instance);

    public LogDirectory Directory { get; }

    public PartitionLog Log => Directory.TryGet(LogHarness.Orders, out PartitionLog? log) ? log : throw new InvalidOperationException("no such partition");

    public void Dispose() => Directory.Dispose();
}
