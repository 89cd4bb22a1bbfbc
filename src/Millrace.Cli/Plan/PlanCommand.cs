using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;

namespace Millrace.Cli.Plan;

/// <summary><c>millrace plan</c>: how large a cluster has to be, with the arithmetic. Asks nobody.</summary>
internal static class PlanCommand
{
    private delegate bool Parser<T>(string text, out T value, out string error);

    /// <summary>An amount, and how it was written: help shows defaults so.</summary>
    private sealed record Quantity(double Value, string Text)
    {
        public override string ToString() => Text;
    }

    public static Command Create()
    {
        PlanInput defaults = new() { Throughput = 1, Consumers = 1, Retention = TimeSpan.FromDays(1) };
        Option<Quantity> throughput = Rate("--throughput", "What producers write on average, before compression.", "200MB/s");
        Option<int> consumers = Number("--consumers", "Members of the largest group.", required: true);
        Option<TimeSpan> retention = new("--retention")
        {
            Description = "How long records are kept.", HelpName = "7d", Required = true, CustomParser = result => Parse<TimeSpan>(result, "--retention", Quantities.TryParseDuration) ?? default,
        };
        Option<int> groups = Number("--groups", "Groups that each read everything.", defaults.Groups);
        Option<Quantity> messageSize = Amount("--message-size", "The average record.", "1KB", Quantities.TryParseSize, "1KB");
        Option<int> replication = Number("--replication", "Copies of each partition.", defaults.Replication);
        Option<double> peak = Factor("--peak", "How many times the average the busiest minutes are; at least 1.", defaults.Peak, minimum: 1);
        Option<double> compression = Factor("--compression", "Bytes that are left of one byte; 1 for none, about 0.3 for JSON with zstd.", defaults.Compression, maximum: 1);
        Option<Quantity> partitionThroughput = Rate("--partition-throughput", "What one partition carries.", "10MB/s", "10MB/s");
        Option<Quantity> consumerThroughput = Rate("--consumer-throughput", "What one consumer works off; not asked by default.", "5MB/s");
        consumerThroughput.Required = false;
        Option<Quantity> disk = Amount("--disk", "The disk of one broker.", "4TB", Quantities.TryParseSize, "4TB");
        Option<Quantity> diskThroughput = Rate("--disk-throughput", "What a broker's disk writes in a stream.", "250MB/s", "250MB/s");
        Option<Quantity> network = Rate("--network", "What a broker's network carries each way.", "10Gbit/s", "10Gbit/s");
        Option<double> diskFill = Factor("--disk-fill", "How full disks may be: the rest is for growth and for what another broker had.", defaults.DiskFill, maximum: 1);
        Option<double> networkFill = Factor("--network-fill", "How busy networks may be: the rest is for catching up.", defaults.NetworkFill, maximum: 1);
        Option<int> partitionsPerBroker = Number("--partitions-per-broker", "Replicas of partitions on one broker.", defaults.PartitionsPerBroker);
        Option<int> spare = Number("--spare-brokers", "Brokers that may be down while the load is carried; may be 0.", defaults.SpareBrokers, minimum: 0);
        Command command = new("plan", "Computes partitions, brokers, disk and network for a load, and shows the arithmetic. Sizes are in powers of 1,000 (KB, MB) or 1,024 (KiB, MiB).")
        {
            throughput, consumers, retention, groups, messageSize, replication, peak, compression, partitionThroughput, consumerThroughput, disk, diskThroughput, network, diskFill,
            networkFill, partitionsPerBroker, spare,
        };
        command.SetAction(parsed =>
        {
            PlanInput input = new()
            {
                Throughput = parsed.GetRequiredValue(throughput).Value,
                Consumers = parsed.GetRequiredValue(consumers),
                Retention = parsed.GetRequiredValue(retention),
                Groups = parsed.GetValue(groups),
                MessageSize = parsed.GetRequiredValue(messageSize).Value,
                Replication = parsed.GetValue(replication),
                Peak = parsed.GetValue(peak),
                Compression = parsed.GetValue(compression),
                PartitionThroughput = parsed.GetRequiredValue(partitionThroughput).Value,
                ConsumerThroughput = parsed.GetValue(consumerThroughput)?.Value,
                Disk = parsed.GetRequiredValue(disk).Value,
                DiskThroughput = parsed.GetRequiredValue(diskThroughput).Value,
                Network = parsed.GetRequiredValue(network).Value,
                DiskFill = parsed.GetValue(diskFill),
                NetworkFill = parsed.GetValue(networkFill),
                PartitionsPerBroker = parsed.GetValue(partitionsPerBroker),
                SpareBrokers = parsed.GetValue(spare),
            };
            try
            {
                PlanReport.Write(parsed.InvocationConfiguration.Output, input, CapacityPlan.For(input), option => parsed.GetResult(option) is OptionResult { Implicit: false }, command);
                return ExitCode.Success;
            }
            catch (OverflowException failure)
            {
                parsed.InvocationConfiguration.Error.WriteLine(failure.Message);
                return ExitCode.Usage;
            }
        });
        return command;
    }

    private static Option<Quantity> Rate(string name, string description, string example, string? fallback = null) =>
        Amount(name, description, example, Quantities.TryParseRate, fallback);

    /// <summary>An amount with its unit; required where there is nothing to take otherwise.</summary>
    private static Option<Quantity> Amount(string name, string description, string example, Parser<double> parser, string? fallback)
    {
        Option<Quantity> option = new(name)
        {
            Description = description,
            HelpName = example,
            Required = fallback is null,
            CustomParser = result => Parse(result, name, parser) is { } value ? new Quantity(value, result.Tokens[0].Value) : null,
        };
        if (fallback is not null)
        {
            option.DefaultValueFactory = _ => parser(fallback, out double value, out string error)
                ? new Quantity(value, fallback)
                : throw new InvalidOperationException($"The default of {name} is none: {error}");
        }

        return option;
    }

    private static T? Parse<T>(ArgumentResult result, string name, Parser<T> parser)
        where T : struct
    {
        if (parser(result.Tokens[0].Value, out T value, out string error))
        {
            return value;
        }

        result.AddError($"{name}: {error}");
        return null;
    }

    private static Option<int> Number(string name, string description, int fallback = 0, int minimum = 1, bool required = false)
    {
        Option<int> option = new(name)
        {
            Description = description,
            HelpName = "N",
            Required = required,
            CustomParser = result =>
            {
                string text = result.Tokens[0].Value;
                if (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int value) && value >= minimum && value <= 1_000_000)
                {
                    return value;
                }

                result.AddError($"{name}: '{text}' is not a whole number from {minimum} to 1,000,000.");
                return 0;
            },
        };
        if (!required)
        {
            option.DefaultValueFactory = _ => fallback;
        }

        return option;
    }

    private static Option<double> Factor(string name, string description, double fallback, double minimum = 0, double maximum = 1000) => new(name)
    {
        Description = description,
        HelpName = "X",
        DefaultValueFactory = _ => fallback,
        CustomParser = result =>
        {
            string text = result.Tokens[0].Value;
            if (double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double value) && value > 0 && value >= minimum && value <= maximum)
            {
                return value;
            }

            result.AddError($"{name}: '{text}' is not a number {(minimum > 0 ? $"from {minimum}" : "above 0")} to {maximum}.");
            return fallback;
        },
    };
}
