namespace Millrace.Cli.Plan;

/// <summary>What a cluster is to carry, and what is assumed of its machines. Rates in bytes a second, sizes in bytes.</summary>
internal sealed record PlanInput
{
    public required double Throughput { get; init; }

    /// <summary>Members of the largest group: each needs a partition.</summary>
    public required int Consumers { get; init; }

    public required TimeSpan Retention { get; init; }

    /// <summary>Groups that each read everything.</summary>
    public int Groups { get; init; } = 1;

    public double MessageSize { get; init; } = 1000;

    public int Replication { get; init; } = 3;

    /// <summary>How many times the average the busiest minutes are.</summary>
    public double Peak { get; init; } = 2;

    /// <summary>Records compressed, in bytes for one byte of them.</summary>
    public double Compression { get; init; } = 1;

    /// <summary>What one partition carries.</summary>
    public double PartitionThroughput { get; init; } = 10e6;

    /// <summary>What one consumer works off.</summary>
    public double? ConsumerThroughput { get; init; }

    /// <summary>The disk of one broker.</summary>
    public double Disk { get; init; } = 4e12;

    public double DiskFill { get; init; } = 0.7;

    /// <summary>What a broker's disk writes in a stream.</summary>
    public double DiskThroughput { get; init; } = 250e6;

    /// <summary>What a broker's network carries each way.</summary>
    public double Network { get; init; } = 10e9 / 8;

    public double NetworkFill { get; init; } = 0.6;

    /// <summary>Replicas of partitions on one broker.</summary>
    public int PartitionsPerBroker { get; init; } = 4000;

    /// <summary>Brokers that may be down while everything is carried.</summary>
    public int SpareBrokers { get; init; } = 1;
}

/// <summary>A line of arithmetic.</summary>
/// <param name="Name">What it gives.</param>
/// <param name="Formula">How, with the numbers in place.</param>
/// <param name="Result">What comes out.</param>
internal sealed record PlanLine(string Name, string Formula, string Result);

/// <summary>How many partitions and brokers, how much disk and network, and why.</summary>
internal sealed record CapacityPlan(
    int Partitions,
    int Brokers,
    string BrokersBecause,
    double TotalDisk,
    double DiskPerBroker,
    double DiskWritePerBroker,
    double NetworkInPerBroker,
    double NetworkOutPerBroker,
    IReadOnlyList<PlanLine> Lines,
    IReadOnlyList<string> Remarks)
{
    public static CapacityPlan For(PlanInput input)
    {
        var lines = new List<PlanLine>();
        double stored = input.Throughput * input.Compression;
        double peak = stored * input.Peak;
        lines.Add(new PlanLine(
            "records", $"{Quantities.Rate(input.Throughput)} / {Quantities.Size(input.MessageSize)} a record", $"{Quantities.Count(input.Throughput / input.MessageSize)} a second"));
        lines.Add(new PlanLine("bytes at the peak", $"{Quantities.Rate(input.Throughput)} x {Quantities.Number(input.Compression)} compressed x {Quantities.Number(input.Peak)} peak", Quantities.Rate(peak)));

        int partitions = CountPartitions(input, peak, lines);
        double disk = stored * input.Retention.TotalSeconds * input.Replication;
        lines.Add(new PlanLine(
            "disk",
            $"{Quantities.Rate(stored)} x {Quantities.Duration(input.Retention)} x {input.Replication} replicas",
            Quantities.Size(disk)));
        double written = peak * input.Replication;
        double incoming = peak * input.Replication;
        double outgoing = peak * (input.Replication - 1 + input.Groups);
        lines.Add(new PlanLine("written to disks", $"{Quantities.Rate(peak)} x {input.Replication} replicas", Quantities.Rate(written)));
        lines.Add(new PlanLine("network into brokers", $"{Quantities.Rate(peak)} from producers x {input.Replication}: each follower copies it", Quantities.Rate(incoming)));
        lines.Add(new PlanLine("network out of brokers", $"{Quantities.Rate(peak)} x ({input.Replication - 1} followers + {input.Groups} groups)", Quantities.Rate(outgoing)));

        (int brokers, string because) = CountBrokers(input, partitions, disk, written, incoming, outgoing, lines);
        int working = Math.Max(1, brokers - input.SpareBrokers);
        lines.Add(new PlanLine("disk of each broker", $"{Quantities.Size(disk)} / {brokers} brokers / {Quantities.Number(input.DiskFill * 100)} % full", Quantities.Size(disk / brokers / input.DiskFill)));
        lines.Add(new PlanLine("each disk writes", $"{Quantities.Rate(written)} / {working} brokers that are up", Quantities.Rate(written / working)));
        lines.Add(new PlanLine("each network takes in", $"{Quantities.Rate(incoming)} / {working} brokers that are up", Quantities.Rate(incoming / working)));
        lines.Add(new PlanLine("each network gives out", $"{Quantities.Rate(outgoing)} / {working} brokers that are up", Quantities.Rate(outgoing / working)));
        return new CapacityPlan(
            partitions,
            brokers,
            because,
            disk,
            disk / brokers / input.DiskFill,
            written / working,
            incoming / working,
            outgoing / working,
            lines,
            [.. Remark(input, partitions)]);
    }

    private static int CountPartitions(PlanInput input, double peak, List<PlanLine> lines)
    {
        int forThroughput = Ceiling(peak / input.PartitionThroughput);
        lines.Add(new PlanLine("partitions for the throughput", $"{Quantities.Rate(peak)} / {Quantities.Rate(input.PartitionThroughput)} a partition", $"{forThroughput}"));
        int consumers = input.Consumers;
        lines.Add(new PlanLine("partitions for the consumers", $"{input.Consumers} members of a group, one partition each at the least", $"{consumers}"));
        int forWork = 0;
        if (input.ConsumerThroughput is { } rate)
        {
            forWork = Ceiling(input.Throughput * input.Peak / rate);
            lines.Add(new PlanLine("consumers for the work", $"{Quantities.Rate(input.Throughput * input.Peak)} / {Quantities.Rate(rate)} a consumer", $"{forWork}"));
        }

        int needed = Math.Max(Math.Max(forThroughput, consumers), forWork);

        // A multiple of the members, so that each has as many as the others.
        int partitions = Ceiling((double)needed / consumers) * consumers;
        lines.Add(new PlanLine("partitions", $"the most of these, {needed}, up to a multiple of {consumers} consumers", $"{partitions}"));
        return partitions;
    }

    private static (int Brokers, string Because) CountBrokers(
        PlanInput input, int partitions, double disk, double written, double incoming, double outgoing, List<PlanLine> lines)
    {
        int Add(string name, string formula, double value)
        {
            int count = Math.Max(1, Ceiling(value));
            lines.Add(new PlanLine(name, formula, $"{count}"));
            return count;
        }

        string network = $"{Quantities.Rate(input.Network)} x {Quantities.Number(input.NetworkFill * 100)} %";
        double replicas = (double)partitions * input.Replication;
        (string Because, int Count)[] limits =
        [
            ("the disks' size", Add(
                "brokers for the disk", $"{Quantities.Size(disk)} / ({Quantities.Size(input.Disk)} x {Quantities.Number(input.DiskFill * 100)} %)", disk / (input.Disk * input.DiskFill))),
            ("the disks' speed", Add("brokers for writing", $"{Quantities.Rate(written)} / {Quantities.Rate(input.DiskThroughput)} a disk", written / input.DiskThroughput)),
            ("the network", Add(
                "brokers for the network",
                $"{Quantities.Rate(Math.Max(incoming, outgoing))} the busier way / ({network})",
                Math.Max(incoming, outgoing) / (input.Network * input.NetworkFill))),
            ("the number of partitions", Add(
                "brokers for the partitions", $"{partitions} x {input.Replication} replicas / {input.PartitionsPerBroker} a broker", replicas / input.PartitionsPerBroker)),
            ("the replicas", Add("brokers for the replicas", $"{input.Replication} replicas on brokers of their own", input.Replication)),
        ];
        (string because, int most) = limits.MaxBy(limit => limit.Count);

        // The spare is for the load; with fewer replicas than brokers any broker may be the one that is down.
        int loaded = limits.Take(limits.Length - 1).Max(limit => limit.Count) + input.SpareBrokers;
        int brokers = Math.Max(loaded, input.Replication);
        lines.Add(new PlanLine(
            "brokers", $"the most of these, {most}, by {because}; {input.SpareBrokers} of them may be down while the load is carried", $"{brokers}"));
        return (brokers, because);
    }

    private static IEnumerable<string> Remark(PlanInput input, int partitions)
    {
        if (input.Replication < 3)
        {
            yield return $"With {input.Replication} replica{(input.Replication == 1 ? "" : "s")}, one broker that fails stops partitions or loses records; production has 3, with min.insync.replicas=2.";
        }

        if (input.ConsumerThroughput is { } rate && input.Consumers * rate < input.Throughput * input.Peak)
        {
            yield return $"{input.Consumers} consumers work off {Quantities.Rate(input.Consumers * rate)}, less than comes at the peak: the group falls behind then, and catches up only if the average is below that.";
        }

        if (partitions > input.Consumers * 10)
        {
            yield return $"Each consumer has {partitions / input.Consumers} partitions; more consumers would share the work.";
        }

        yield return "What one partition and one consumer carry depends on your records and handlers: measure both, and give them by --partition-throughput and --consumer-throughput.";
    }

    private static int Ceiling(double value) => value > int.MaxValue / 2 ? throw new OverflowException($"{value:g3} is more than can be planned.") : (int)Math.Ceiling(value - 1e-9);
}
