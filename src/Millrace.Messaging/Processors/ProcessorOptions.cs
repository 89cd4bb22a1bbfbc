namespace Millrace;

/// <summary>A processor to run. Checked when the host starts.</summary>
public sealed record ProcessorOptions
{
    /// <summary>The most partitions that a processor's topic may have.</summary>
    internal const int MaxPartitionCount = 1_000;

    /// <summary>The consumer group, and the endpoint's name in logs and metrics. Stored in the log: keep it.</summary>
    public required string Name { get; init; }

    /// <summary>The topic to process. Created when it does not exist.</summary>
    public required string Topic { get; init; }

    /// <summary>
    /// The topic's exact partition count. Keys are placed by it, so the host does not start on a topic that exists with
    /// another count. From 1 to 1,000.
    /// </summary>
    public required int PartitionCount { get; init; }

    /// <summary>
    /// Topics that hold the processor's state, with the same partition count: compacted, where the broker compacts. Created
    /// when they do not exist. Default: none.
    /// </summary>
    public IReadOnlyList<string> CompanionTopics { get; init; } = [];

    /// <summary>The most records that are processed at once in this process. Default: 32. From 1 to 10,000.</summary>
    public int MaxConcurrency { get; init; } = 32;

    /// <summary>Makes the processor. Called once, when the host starts, after the topics exist.</summary>
    public required Func<ProcessorServices, PartitionProcessor> Create { get; init; }

    /// <summary>The processor in an application that puts something before the names of its topics and groups.</summary>
    internal ProcessorOptions WithPrefix(string prefix) =>
        prefix is "" ? this : this with { Topic = prefix + Topic, CompanionTopics = [.. CompanionTopics.Select(topic => prefix + topic)] };

    internal void Check(List<string> problems)
    {
        foreach (string topic in (string[])[Topic, .. CompanionTopics])
        {
            if (!TopicName.IsValid(topic)) problems.Add($"The topic '{topic}' of the processor '{Name}' is not valid. {TopicName.Rule}");
        }

        if (!TopicName.IsValid(Name)) problems.Add($"The processor name '{Name}' is not valid. {TopicName.Rule}");
        if (PartitionCount is < 1 or > MaxPartitionCount)
            problems.Add($"PartitionCount of the processor '{Name}' is {PartitionCount}. It goes from 1 to 1,000.");
        if (MaxConcurrency is < 1 or > 10_000)
            problems.Add($"MaxConcurrency of the processor '{Name}' is {MaxConcurrency}. It goes from 1 to 10,000.");
    }
}
