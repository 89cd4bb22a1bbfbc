using System.Globalization;
using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>Names of the files and directories of a data directory: Kafka's own, so that its tools find what they expect.</summary>
internal static class FileNames
{
    public const string Lock = ".lock";
    public const string MetaProperties = "meta.properties";
    public const string CleanShutdown = ".kafka_cleanshutdown";
    public const string CleanShutdownContent = "{\"version\":0,\"brokerEpoch\":-1}";
    public const string RecoveryPoints = "recovery-point-offset-checkpoint";
    public const string LogStartOffsets = "log-start-offset-checkpoint";
    public const string CleanedOffsets = "cleaner-offset-checkpoint";
    public const string HighWatermarks = "replication-offset-checkpoint";

    /// <summary>Offsets below which some may be missing. Ours: Kafka ignores it.</summary>
    public const string SparseOffsets = "compaction-offset-checkpoint";
    public const string TopicSettings = "topic-settings";

    /// <summary>Says in which boot of the machine the files are written; gone as soon as a disk error puts in doubt what they hold.</summary>
    public const string Boot = "boot-id";

    /// <summary>The two files of the journal that all partitions share. Ours: Kafka takes directories for partitions, and ignores files.</summary>
    public static readonly string[] JournalHalves = ["commit-journal.0", "commit-journal.1"];

    public const string LeaderEpochs = "leader-epoch-checkpoint";
    public const string PartitionMetadata = "partition.metadata";
    public const string LogSuffix = ".log";
    public const string IndexSuffix = ".index";
    public const string TimeIndexSuffix = ".timeindex";
    public const string TransactionIndexSuffix = ".txnindex";
    public const string SnapshotSuffix = ".snapshot";

    /// <summary>Bytes that recovery cut off. Kafka ignores files with this ending.</summary>
    public const string CutSuffix = ".cut";

    /// <summary>A file of a segment that has left the log, and that nobody needs but readers who are still in it.</summary>
    public const string DeletedSuffix = ".deleted";

    /// <summary>A file that a compaction is writing.</summary>
    public const string CleanedSuffix = ".cleaned";

    /// <summary>A file of a compacted segment that is to take its place in the log.</summary>
    public const string SwapSuffix = ".swap";

    private const string DeletedPartitionSuffix = "-delete";
    private const int DeletionIdLength = 32;
    private const int MaximumNameLength = 255;

    /// <summary>What lies beside the log file of a segment and is made from it.</summary>
    public static readonly string[] IndexSuffixes = [IndexSuffix, TimeIndexSuffix, TransactionIndexSuffix];

    private const int OffsetDigitCount = 20;
    private const int MaximumTopicLength = 249;

    public static string Segment(Offset baseOffset, string suffix) =>
        baseOffset.Value.ToString("D" + OffsetDigitCount, CultureInfo.InvariantCulture) + suffix;

    /// <summary>The epoch comes first after the offset-independent prefix, so that names sort by age.</summary>
    public static string Cut(int leaderEpoch, Offset segmentBaseOffset, long position) =>
        $"epoch-{leaderEpoch:D10}-{Segment(segmentBaseOffset, "")}-{position}{CutSuffix}";

    public static bool TryParseSegment(string name, string suffix, out Offset baseOffset)
    {
        baseOffset = default;
        if (name.Length != OffsetDigitCount + suffix.Length || !name.EndsWith(suffix, StringComparison.Ordinal)
            || !long.TryParse(name.AsSpan(0, OffsetDigitCount), NumberStyles.None, CultureInfo.InvariantCulture, out long value))
        {
            return false;
        }

        baseOffset = new Offset(value);
        return true;
    }

    /// <summary>Reads <c>orders-3</c>. The topic's name may itself contain dashes.</summary>
    public static bool TryParsePartition(string directoryName, out TopicPartition partition)
    {
        partition = default;
        int dash = directoryName.LastIndexOf('-');
        if (dash <= 0 || !int.TryParse(directoryName.AsSpan(dash + 1), NumberStyles.None, CultureInfo.InvariantCulture, out int number)
            || !IsTopicName(directoryName.AsSpan(0, dash)))
        {
            return false;
        }

        partition = new TopicPartition(directoryName[..dash], number);

        // orders-03 is not the name of a partition.
        return partition.ToString() == directoryName;
    }

    /// <summary>The directory of a partition that is deleted: <c>orders-3.&lt;32 hex digits&gt;-delete</c>. A name that is too long loses its end.</summary>
    public static string DeletedPartition(TopicPartition partition, Guid deletionId)
    {
        string suffix = $".{deletionId:N}{DeletedPartitionSuffix}";
        string name = partition.ToString();
        return name[..Math.Min(name.Length, MaximumNameLength - suffix.Length)] + suffix;
    }

    /// <param name="partition">None, if the name has lost its end.</param>
    public static bool TryParseDeletedPartition(string directoryName, out TopicPartition partition)
    {
        partition = default;
        int dot = directoryName.Length - DeletionIdLength - DeletedPartitionSuffix.Length - 1;
        if (dot <= 0 || directoryName[dot] != '.' || !directoryName.EndsWith(DeletedPartitionSuffix, StringComparison.Ordinal)
            || !Guid.TryParseExact(directoryName.AsSpan(dot + 1, DeletionIdLength), "N", out _))
        {
            return false;
        }

        _ = TryParsePartition(directoryName[..dot], out partition);
        return true;
    }

    public static bool IsTopicName(ReadOnlySpan<char> name)
    {
        if (name.Length is 0 or > MaximumTopicLength || name is "." or "..")
        {
            return false;
        }

        foreach (char character in name)
        {
            if (!char.IsAsciiLetterOrDigit(character) && character is not ('.' or '_' or '-'))
            {
                return false;
            }
        }

        return true;
    }
}
