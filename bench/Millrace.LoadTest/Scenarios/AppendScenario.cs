using System.Diagnostics;
using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Kafka.Records;
using Millrace.Log;
using Millrace.LoadTest.References;
using Millrace.LoadTest.Running;

namespace Millrace.LoadTest.Scenarios;

/// <summary>How fast one core appends: 1 KiB records in batches of 1 MB, into the page cache.</summary>
internal static partial class AppendScenario
{
    private const int RecordsPerBatch = 1000;
    private const int BatchesPerRound = 500;

    public static IReadOnlyList<Measurement> Run(RunSettings settings)
    {
        byte[] batch = Workload.Batch(RecordsPerBatch, 1024);
        double megabytes = (double)batch.Length * BatchesPerRound / 1e6;
        (double ours, double reference) result = default;
        var pinned = new Thread(() =>
        {
            PinToOneCore();
            result = Statistics.InTurn(
                settings.Rounds,
                () => megabytes / Time(settings, directory => Append(directory, batch)),
                () => megabytes / Time(settings, directory => SequentialWrite.Run(Path.Combine(directory, "file"), batch, BatchesPerRound)));
        });
        pinned.Start();
        pinned.Join();
        Console.WriteLine($"  dd writes {DataDump.WriteMegabytesPerSecond(Path.Combine(settings.NewDirectory(), "dd"), 512):0} MB/s without a checksum");
        return [Measurement.AtLeast(0.6, "append", result.ours, result.reference, "MB/s")];
    }

    private static double Time(RunSettings settings, Action<string> write)
    {
        string directory = settings.NewDirectory();
        long begun = Stopwatch.GetTimestamp();
        write(directory);
        double seconds = Stopwatch.GetElapsedTime(begun).TotalSeconds;
        Directory.Delete(directory, recursive: true);
        return seconds;
    }

    private static void Append(string directory, byte[] batch)
    {
        using var log = LogDirectory.Open(
            new LogDirectoryOptions { Path = directory }, new FileStorage(), TimeProvider.System, new Random(1), NullLogger.Instance);
        PartitionLog partition = log.Create(new TopicPartition("load", 0), Guid.NewGuid());
        for (int number = 0; number < BatchesPerRound; number++)
        {
            if (partition.Append(batch, AppendDurability.PageCache) is not AppendResult.Appended)
            {
                throw new InvalidOperationException("An append was refused.");
            }
        }
    }

    private static void PinToOneCore()
    {
        Span<byte> mask = stackalloc byte[128];
        mask.Clear();
        mask[0] = 2;
        if (SetAffinity(0, mask.Length, ref MemoryMarshal.GetReference(mask)) != 0)
        {
            Console.WriteLine("  the thread could not be kept on one core");
        }
    }

    [LibraryImport("libc", EntryPoint = "sched_setaffinity", SetLastError = true)]
    private static partial int SetAffinity(int thread, nint byteCount, ref byte mask);
}
