using System.CommandLine;
using System.Globalization;

namespace Shop;

/// <summary>The options of the program.</summary>
internal static class ShopCommandLine
{
    private const int MaxOrderCount = 1_000_000;
    private const int MaxReplicaCount = 100;

    private static readonly HostPort s_defaultListen = new("127.0.0.1", 5080);
    private static readonly HostPort s_defaultKafkaListen = new("127.0.0.1", 9092);

    public static RootCommand Create(Func<ShopOptions, Task<int>> run)
    {
        ShopOptions defaults = new();
        Option<int> orders = IntegerOption(
            "--orders", "How many orders the data directory shall hold; a second run on it places what is missing.", defaults.OrderCount, 0, MaxOrderCount);
        Option<double> decline = RateOption("--decline", "The share of payments that the bank declines.", defaults.DeclineRate);
        Option<double> outOfStock = RateOption("--out-of-stock", "The share of orders whose goods turn out to be missing.", defaults.OutOfStockRate);
        Option<double> flaky = RateOption("--flaky", "The share of attempts in which a service fails and is tried again.", defaults.FlakyRate);
        Option<int> seed = IntegerOption("--seed", "Decides what is ordered, and what goes wrong with it.", defaults.Seed, 0, int.MaxValue);
        Option<string> data = new("--data")
        {
            Description = "The directory of the log, the five databases and the outbox; made if it does not exist.",
            HelpName = "DIR",
            DefaultValueFactory = _ => defaults.DataDirectory,
        };
        data.Validators.Add(result =>
        {
            if (result.Tokens.Count > 0 && string.IsNullOrWhiteSpace(result.Tokens[0].Value))
            {
                result.AddError("--data is empty; name a directory.");
            }
        });
        Option<HostPort?> listen = AddressOption("--listen", "Where the HTTP API listens; port 0 takes a free one.", s_defaultListen);
        Option<HostPort?> kafkaListen = AddressOption("--kafka-listen", "Where Kafka clients reach the log; port 0 takes a free one.", s_defaultKafkaListen);
        Option<string?> kafka = new("--kafka")
        {
            Description = "A Kafka cluster that is the log, in place of one in this process.",
            HelpName = "HOST:PORT,...",
        };
        Option<ShopRole> role = RoleOption();
        Option<string> prefix = new("--prefix")
        {
            Description = "With --kafka: stands before the names of the shop's topics and groups, for a second shop on one cluster.",
            HelpName = "TEXT",
            DefaultValueFactory = _ => defaults.Prefix,
        };
        Option<int> replicas = IntegerOption(
            "--replicas", "With --kafka: how many brokers keep each topic of the shop; -1 for what the brokers are set to.", defaults.Replicas, -1, MaxReplicaCount);
        Option<bool> exit = new("--exit")
        {
            Description = "Ends when every order has, with one line for programs. Listens only where --listen and --kafka-listen say.",
        };

        RootCommand command = new(
            "An event-driven shop of five services on Millrace: it places orders that fail, retry and undo themselves, and serves until Ctrl-C.")
        {
            orders, decline, outOfStock, flaky, seed, data, listen, kafkaListen, kafka, role, prefix, replicas, exit,
        };
        command.Validators.Add(result =>
        {
            bool isCluster = result.GetResult(kafka) is not null;
            ShopRole given;
            try
            {
                given = result.GetResult(role) is null ? ShopRole.All : result.GetValue(role);
            }
            catch (InvalidOperationException)
            {
                // It is none: the option says so by itself.
                return;
            }

            if (isCluster && string.IsNullOrWhiteSpace(result.GetValue(kafka)))
            {
                result.AddError("--kafka is empty; write HOST:PORT, or several with commas between them.");
            }

            if (!isCluster && given != ShopRole.All)
            {
                result.AddError("--role needs --kafka: a process with the log inside runs the whole shop.");
            }

            if (isCluster && result.GetResult(kafkaListen) is not null)
            {
                result.AddError("--kafka-listen is for a log in this process, and --kafka names another one. Leave one of them out.");
            }

            if (!given.HasDesk() && (result.GetResult(exit) is not null || result.GetResult(listen) is not null))
            {
                result.AddError($"--exit and --listen are for the role that takes orders; the role {given.ToString().ToLowerInvariant()} serves until it is stopped.");
            }
        });
        command.SetAction((parsed, _) =>
        {
            bool exits = parsed.GetValue(exit);
            string? cluster = parsed.GetValue(kafka);
            ShopRole runs = parsed.GetValue(role);
            return run(new ShopOptions
            {
                OrderCount = parsed.GetValue(orders),
                DeclineRate = parsed.GetValue(decline),
                OutOfStockRate = parsed.GetValue(outOfStock),
                FlakyRate = parsed.GetValue(flaky),
                Seed = parsed.GetValue(seed),
                DataDirectory = parsed.GetRequiredValue(data),
                Kafka = cluster,
                Role = runs,
                Prefix = parsed.GetRequiredValue(prefix),
                Replicas = (short)parsed.GetValue(replicas),
                Listen = parsed.GetValue(listen) ?? (exits || !runs.HasDesk() ? null : s_defaultListen),
                KafkaListen = parsed.GetValue(kafkaListen) ?? (exits || cluster is not null ? null : s_defaultKafkaListen),
                Exit = exits,
            });
        });
        return command;
    }

    private static Option<ShopRole> RoleOption() => new("--role")
    {
        Description = "With --kafka: what this process runs: orders, payment, stock, or all.",
        HelpName = "ROLE",
        DefaultValueFactory = _ => ShopRole.All,
        CustomParser = result =>
        {
            string text = result.Tokens[0].Value;
            foreach (ShopRole role in Enum.GetValues<ShopRole>())
            {
                if (string.Equals(role.ToString(), text, StringComparison.OrdinalIgnoreCase))
                {
                    return role;
                }
            }

            result.AddError($"'{text}' is not a role of the shop; give orders, payment, stock or all.");
            return ShopRole.All;
        },
    };

    private static Option<int> IntegerOption(string name, string description, int byDefault, int least, int most) => new(name)
    {
        Description = description,
        HelpName = "N",
        DefaultValueFactory = _ => byDefault,
        CustomParser = result =>
        {
            string text = result.Tokens[0].Value;
            if (int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value) && value >= least && value <= most)
            {
                return value;
            }

            result.AddError(string.Create(CultureInfo.InvariantCulture, $"'{text}' is not a number for {name}; it goes from {least} to {most}."));
            return byDefault;
        },
    };

    private static Option<double> RateOption(string name, string description, double byDefault) => new(name)
    {
        Description = $"{description} From 0 to 1.",
        HelpName = "RATE",
        DefaultValueFactory = _ => byDefault,
        CustomParser = result =>
        {
            string text = result.Tokens[0].Value;
            if (double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value) && value is >= 0 and <= 1)
            {
                return value;
            }

            result.AddError($"'{text}' is not a rate for {name}; it goes from 0 to 1, for example 0.1.");
            return byDefault;
        },
    };

    private static Option<HostPort?> AddressOption(string name, string description, HostPort byDefault) => new(name)
    {
        Description = $"{description} Default: {byDefault}, or nowhere with --exit.",
        HelpName = "HOST:PORT",
        CustomParser = result =>
        {
            string text = result.Tokens[0].Value;
            if (HostPort.TryParse(text, out HostPort? address))
            {
                return address;
            }

            result.AddError($"'{text}' is not an address for {name}; write HOST:PORT with an address of this machine, for example {byDefault}.");
            return null;
        },
    };
}
