using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>
/// Reads a data directory, all of it or some partitions, and tells what is wrong. It changes nothing and locks nothing, so it works beside a broker; what
/// that writes meanwhile is not looked at.
/// </summary>
public sealed class LogInspection
{
    private const string GapsAreTaken =
        "The next start takes offsets that are missing in any log for compacted ones, and compacts every compacted log from its start. Restore the file from a copy.";

    private readonly LogSettings _settings;
    private readonly IStorage _storage;
    private readonly Action<InspectionFinding> _report;
    private readonly InspectionCounts _counts = new();
    private int _findingCount;

    private LogInspection(LogSettings settings, IStorage storage, Action<InspectionFinding> report)
    {
        _settings = settings;
        _storage = storage;
        _report = report;
    }

    /// <param name="partitions">Those to look at; none for all. The files of the directory are looked at in any case.</param>
    /// <param name="report">Takes each finding as it is made.</param>
    /// <exception cref="LogDirectoryException">It is no data directory of ours, or has no such partition.</exception>
    public static InspectionSummary Run(
        LogDirectoryOptions options, IStorage storage, IReadOnlyCollection<TopicPartition> partitions, Action<InspectionFinding> report) =>
        new LogInspection(options.ToSettings(), storage, report).Run(partitions);

    private InspectionSummary Run(IReadOnlyCollection<TopicPartition> partitions)
    {
        bool isInUse = IsInUse(_storage, _settings.Path);
        var files = new DirectoryFiles(_settings, _storage);
        foreach (TopicPartition partition in partitions)
        {
            if (!files.Partitions.Contains(partition))
            {
                throw new LogDirectoryException(LogDirectoryFailure.Foreign, $"There is no partition {partition} in {_settings.Path}.");
            }
        }

        if (!isInUse)
        {
            InspectJournal(files);
        }

        InspectDirectory(files, isInUse);
        foreach (TopicPartition partition in partitions.Count > 0 ? partitions : files.Partitions)
        {
            new PartitionInspection(_settings, _storage, files, partition, isInUse, _counts, Report).Run();
        }

        // A broker that started meanwhile is one that wrote meanwhile.
        bool wasInUse = isInUse || IsInUse(_storage, _settings.Path);
        return new InspectionSummary(_counts.Partitions, _counts.Segments, _counts.Batches, _counts.Bytes, _findingCount, wasInUse);
    }

    /// <summary>Whether a broker has the directory. Who may not even ask is told yes: then less is taken for damage.</summary>
    internal static bool IsInUse(IStorage storage, string directory)
    {
        string path = $"{directory}/{FileNames.Lock}";
        if (!storage.FileExists(path))
        {
            return false;
        }

        try
        {
            using IDisposable? held = storage.TryLock(path);
            return held is null;
        }
        catch (UnauthorizedAccessException)
        {
            return true;
        }
    }

    private void InspectDirectory(DirectoryFiles files, bool isInUse)
    {
        if (files.TopicSettingsFault is { } fault)
        {
            Find(FileNames.TopicSettings, null, null, fault);
        }

        Judge(files.RecoveryPoints, "The next start reads every log from its start and cuts none; a partition that fails stays offline. Restore the file from a copy.");
        Judge(files.LogStarts, "The next start lets every log begin with its first segment, so that deleted records may be there again. Restore the file from a copy.");
        Judge(files.HighWatermarks, "The next clean stop writes it anew.");
        Judge(files.SparseOffsets, GapsAreTaken);
        Judge(files.CleanedOffsets, GapsAreTaken);
        if (files.RecoveryPoints.IsMissing)
        {
            Find(FileNames.RecoveryPoints, null, null, "The file is missing: the next start reads every log from its start and cuts it at the first batch that fails. Restore it from a copy.");
        }

        JudgeMissingPartitions(files);
        foreach (StorageEntry entry in files.Entries)
        {
            if (!isInUse && entry.IsDirectory && FileNames.TryParseDeletedPartition(entry.Name, out _))
            {
                Note(entry.Name, "The partition is deleted; the next start removes the directory.");
            }
        }
    }

    private void InspectJournal(DirectoryFiles files)
    {
        try
        {
            files.ReadJournal();
            if (files.Journal?.Damage is { } damage)
            {
                Find(FileNames.JournalHalves[0], null, null, $"The commit journal is damaged: {damage}. Records that were acknowledged shortly before the machine went down may be missing at the ends of logs.");
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            Find(FileNames.JournalHalves[0], null, null, $"The commit journal cannot be read: {exception.Message} It holds records that were acknowledged and may be nowhere else. Mend the cause, and look again.");
        }
    }

    private void Judge(OffsetCheckpointFile file, string consequence)
    {
        if (file.Offsets is null)
        {
            var fault = CheckpointFault.Find(file.Text!, columnCount: 3);
            Find(file.Name, fault.Position, null, $"The file is damaged: {fault.Description}. {consequence}");
        }
    }

    private void JudgeMissingPartitions(DirectoryFiles files)
    {
        HashSet<TopicPartition> known = [.. files.Partitions];
        foreach (StorageEntry entry in files.Entries)
        {
            if (FileNames.TryParseDeletedPartition(entry.Name, out TopicPartition deleted))
            {
                known.Add(deleted);
            }
        }

        foreach ((TopicPartition partition, Offset offset) in files.RecoveryPoints.Offsets ?? [])
        {
            if (offset > Offset.Zero && !known.Contains(partition))
            {
                Find(partition.ToString(), null, null, $"The directory is gone, and with it {offset} offsets that were on the disk. Restore it from a copy if nobody meant it.");
            }
        }
    }

    private void Report(InspectionFinding finding)
    {
        _findingCount += finding.IsNote ? 0 : 1;
        _report(finding);
    }

    private void Find(string name, long? position, Offset? offset, string description) =>
        Report(new InspectionFinding(null, $"{_settings.Path}/{name}", position, offset, description, IsNote: false));

    private void Note(string name, string description) =>
        Report(new InspectionFinding(null, $"{_settings.Path}/{name}", null, null, description, IsNote: true));
}
