namespace Millrace;

/// <summary>How a saga runs.</summary>
public sealed class SagaOptions
{
    /// <summary>
    /// Partitions of the saga's inbox and histories: the most processes that can share its instances. Default 64, so that it need never
    /// change: the count decides where an instance lives, and a saga refuses to start on topics that have another one.
    /// </summary>
    public int PartitionCount { get; set; } = 64;

    /// <summary>The most instances that move on at once in this process; waiting instances do not count. Default 64.</summary>
    public int MaxConcurrency { get; set; } = 64;

    internal void Validate()
    {
        List<string> problems = [];
        if (PartitionCount is < 1 or > 1_000)
        {
            problems.Add($"{nameof(SagaOptions)}.{nameof(PartitionCount)} is {PartitionCount}. Set it from 1 to 1000, and keep it.");
        }

        if (MaxConcurrency is < 1 or > 10_000)
        {
            problems.Add($"{nameof(SagaOptions)}.{nameof(MaxConcurrency)} is {MaxConcurrency}. Set it from 1 to 10000.");
        }

        if (problems.Count > 0)
        {
            throw new MillraceConfigurationException(problems);
        }
    }
}
