using System.Globalization;
using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>Names of the files and directories of a data directory: Kafka's own, so that its tools find what they expect.</summary>
internal static class FileNames
{
    public const string Lock = ".lock";
    public const string MetaProperties = "meta.properties";
    public const string CleanShutdown = ".kafka_cleanshutdown";
    public const string RecoveryPoints = "recovery-point-offset-checkpoint";
    public const string LogStartOffsets = "log-start-offset-checkpoint";
    public const string HighWatermarks = "replication-offset-checkpoint";
    public const string TopicSettings = "topic-settings";

    public const string LeaderEpochs = "leader-epoch-checkpoint";
    public const string PartitionMetadata = "partition.metadata";
    public const string LogSuffix = ".log";
    public const string IndexSuffix = ".index";
    public const string TimeIndexSuffix = ".timeindex";
    public const string TransactionIndexSuffix = ".txnindex";

    /// <summary>Bytes that recovery cut off. Kafka ignores files with this ending.</summary>
    public const string CutSuffix = ".cut";

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
