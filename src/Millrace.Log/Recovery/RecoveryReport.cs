using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>What a start found and did.</summary>
public sealed class RecoveryReport
{
    private readonly List<RecoveryFinding> _findings = [];

    internal RecoveryReport(bool wasCleanStop, bool hasKeptWrites = false)
    {
        WasCleanStop = wasCleanStop;
        HasKeptWrites = hasKeptWrites || wasCleanStop;
    }

    /// <summary>Whether a clean stop came before; if not, leader epochs have risen and the tails were read.</summary>
    public bool WasCleanStop { get; }

    /// <summary>
    /// Whether all that was written before is here, synced or not: there was a clean stop, or the process ended and the machine went on, and no
    /// partition had met a disk error. Otherwise what was not synced may be gone.
    /// </summary>
    public bool HasKeptWrites { get; }

    public IReadOnlyList<RecoveryFinding> Findings => _findings;

    internal void Add(RecoveryReport part) => _findings.AddRange(part._findings);

    internal RecoveryAction Add(TopicPartition? partition, RecoveryCondition condition, bool isBelowRecoveryPoint, string description)
    {
        RecoveryAction action = RecoveryTable.Decide(condition, isBelowRecoveryPoint);
        _findings.Add(new RecoveryFinding(partition, condition, action, description));
        return action;
    }
}

/// <summary>One thing that a start found, and what it did, as a sentence.</summary>
public sealed class RecoveryFinding
{
    internal RecoveryFinding(TopicPartition? partition, RecoveryCondition condition, RecoveryAction action, string description)
    {
        Partition = partition;
        Condition = condition;
        Action = action;
        Description = description;
    }

    public TopicPartition? Partition { get; }

    public string Description { get; }

    internal RecoveryCondition Condition { get; }

    internal RecoveryAction Action { get; }

    public override string ToString() => Partition is { } partition ? $"{partition}: {Description}" : Description;
}
