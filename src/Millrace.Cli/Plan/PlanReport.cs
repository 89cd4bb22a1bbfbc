using System.CommandLine;

namespace Millrace.Cli.Plan;

/// <summary>A plan, line by line.</summary>
internal static class PlanReport
{
    public static void Write(TextWriter output, PlanInput input, CapacityPlan plan, Func<Option, bool> isGiven, Command command)
    {
        output.WriteLine($"{plan.Partitions} partitions with {input.Replication} replicas on {plan.Brokers} brokers;");
        output.WriteLine($"each broker with {Quantities.Size(plan.DiskPerBroker)} of disk that writes {Quantities.Rate(plan.DiskWritePerBroker)},");
        output.WriteLine($"and a network that takes in {Quantities.Rate(plan.NetworkInPerBroker)} and gives out {Quantities.Rate(plan.NetworkOutPerBroker)}.");
        output.WriteLine();
        output.WriteLine("Arithmetic");
        int nameWidth = plan.Lines.Max(line => line.Name.Length);
        foreach (PlanLine line in plan.Lines)
        {
            output.WriteLine($"  {line.Name.PadRight(nameWidth)} = {line.Formula} = {line.Result}");
        }

        output.WriteLine();
        output.WriteLine("Assumed, where nothing was said");
        foreach ((string option, string what) in Assumptions(input))
        {
            bool given = command.Options.FirstOrDefault(candidate => candidate.Name == option) is { } found && isGiven(found);
            output.WriteLine($"  {option}: {what}{(given ? " (given)" : "")}");
        }

        output.WriteLine();
        foreach (string remark in plan.Remarks)
        {
            output.WriteLine($"Note: {remark}");
        }

        output.WriteLine();
        output.WriteLine("Create the topic");
        output.WriteLine($"  {CreationCommand(input, plan)}");
    }

    public static string CreationCommand(PlanInput input, CapacityPlan plan)
    {
        string minimum = input.Replication > 1 ? $" --config min.insync.replicas={input.Replication - 1}" : "";
        return $"kafka-topics.sh --bootstrap-server HOST:9092 --create --topic NAME --partitions {plan.Partitions} --replication-factor {input.Replication} "
            + $"--config retention.ms={(long)input.Retention.TotalMilliseconds}{minimum}";
    }

    private static IEnumerable<(string Option, string What)> Assumptions(PlanInput input)
    {
        yield return ("--message-size", $"a record has {Quantities.Size(input.MessageSize)}");
        yield return ("--replication", $"{input.Replication} replicas");
        yield return ("--groups", $"{input.Groups} group{(input.Groups == 1 ? " reads" : "s each read")} everything");
        yield return ("--peak", $"the busiest minutes are {Quantities.Number(input.Peak)} times the average");
        yield return ("--compression", $"a byte is stored and sent as {Quantities.Number(input.Compression)}");
        yield return ("--partition-throughput", $"a partition carries {Quantities.Rate(input.PartitionThroughput)}");
        yield return ("--consumer-throughput", input.ConsumerThroughput is { } rate ? $"a consumer works off {Quantities.Rate(rate)}" : "consumers keep up, whatever comes");
        yield return ("--disk", $"a broker has {Quantities.Size(input.Disk)} of disk");
        yield return ("--disk-fill", $"disks are at most {Quantities.Number(input.DiskFill * 100)} % full");
        yield return ("--disk-throughput", $"a disk writes {Quantities.Rate(input.DiskThroughput)}; reading is from memory, since consumers follow closely");
        yield return ("--network", $"a broker's network carries {Quantities.Rate(input.Network)} each way");
        yield return ("--network-fill", $"networks are at most {Quantities.Number(input.NetworkFill * 100)} % busy");
        yield return ("--partitions-per-broker", $"a broker holds {Quantities.Number(input.PartitionsPerBroker)} replicas of partitions");
        yield return ("--spare-brokers", $"{input.SpareBrokers} broker{(input.SpareBrokers == 1 ? "" : "s")} may be down at the peak");
    }
}
