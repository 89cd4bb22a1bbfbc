using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;

namespace Millrace.Cli.Plan;

/// <summary><c>millrace plan</c>: how large a cluster has to be, with the arithmetic. Asks nobody.</summary>
internal static class PlanCommand
{
    private delegate bool Parser<T>(string text, out T value, out string error);

    public static Command Create()
    {
        PlanInput defaults = new() { Throughput = 1, Consumers = 1, Retention = TimeSpan.FromDays(1) };
        Option<double> throughput = Rate("--throughput", "What producers write on average, before compression.", "200MB/s", required: true);
        Option<int> consumers = Number("--consumers", "Members of the largest group.", required: true);
        Option<TimeSpan> retention = Amount<TimeSpan>("--retention", "How long records are kept.", "7d", Quantities.TryParseDuration);
        retention.Required = true;
        Option<int> groups = Number("--groups", "Groups that each read everything.", defaults.Groups);
        Option<double> messageSize = Amount<double>("--message-size", "The average record.", "1KB", Quantities.TryParseSize, defaults.MessageSize);
        Option<int> replication = Number("--replication", "Copies of each partition.", defaults.Replication);
        Option<double> peak = Factor("--peak", "How many times the average the busiest minutes are; at least 1.", defaults.Peak, minimum: 1);
        Option<double> compression = Factor("--compression", "Bytes that are left of one byte; 1 for none, about 0.3 for JSON with zstd.", defaults.Compression, maximum: 1);
        Option<double> partitionThroughput = Rate("--partition-throughput", "What one partition carries.", "10MB/s", fallback: defaults.PartitionThroughput);
        Option<double?> consumerThroughput = new("--consumer-throughput")
        {
            Description = "What one consumer works off; not asked by default.", HelpName = "5MB/s", CustomParser = result => Parse<double>(result, "--consumer-throughput", Quantities.TryParseRate),
        };
        Option<double> disk = Amount<double>("--disk", "The disk of one broker.", "4TB", Quantities.TryParseSize, defaults.Disk);
        Option<double> diskThroughput = Rate("--disk-throughput", "What a broker's disk writes in a stream.", "250MB/s", fallback: defaults.DiskThroughput);
        Option<double> network = Rate("--network", "What a broker's network carries each way.", "10Gbit/s", fallback: defaults.Network);
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
                Throughput = parsed.GetRequiredValue(throughput),
                Consumers = parsed.GetRequiredValue(consumers),
                Retention = parsed.GetRequiredValue(retention),
                Groups = parsed.GetValue(groups),
                MessageSize = parsed.GetValue(messageSize),
                Replication = parsed.GetValue(replication),
                Peak = parsed.GetValue(peak),
                Compression = parsed.GetValue(compression),
                PartitionThroughput = parsed.GetValue(partitionThroughput),
                ConsumerThroughput = parsed.GetValue(consumerThroughput),
                Disk = parsed.GetValue(disk),
                DiskThroughput = parsed.GetValue(diskThroughput),
                Network = parsed.GetValue(network),
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

    private static Option<double> Rate(string name, string description, string example, bool required = false, double fallback = 0)
    {
        Option<double> option = Amount<double>(name, description, example, Quantities.TryParseRate, fallback);
        option.Required = required;
        if (required)
        {
            option.DefaultValueFactory = null;
        }

        return option;
    }

    private static Option<T> Amount<T>(string name, string description, string example, Parser<T> parser, T? fallback = default)
        where T : struct
    {
        Option<T> option = new(name) { Description = description, HelpName = example, CustomParser = result => Parse(result, name, parser) ?? default };
        if (fallback is { } value && !EqualityComparer<T>.Default.Equals(value, default))
        {
            option.DefaultValueFactory = _ => value;
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
