using System.CommandLine;
using System.Globalization;

namespace Shop;

/// <summary>The options of the program.</summary>
internal static class ShopCommandLine
{
    private const int MaxOrderCount = 1_000_000;

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
        Option<bool> exit = new("--exit")
        {
            Description = "Ends when every order has, with one line for programs. Listens only where --listen and --kafka-listen say.",
        };

        RootCommand command = new(
            "An event-driven shop of five services on Millrace: it places orders that fail, retry and undo themselves, and serves until Ctrl-C.")
        {
            orders, decline, outOfStock, flaky, seed, data, listen, kafkaListen, exit,
        };
        command.SetAction((parsed, _) =>
        {
            bool exits = parsed.GetValue(exit);
            return run(new ShopOptions
            {
                OrderCount = parsed.GetValue(orders),
                DeclineRate = parsed.GetValue(decline),
                OutOfStockRate = parsed.GetValue(outOfStock),
                FlakyRate = parsed.GetValue(flaky),
                Seed = parsed.GetValue(seed),
                DataDirectory = parsed.GetRequiredValue(data),
                Listen = parsed.GetValue(listen) ?? (exits ? null : s_defaultListen),
                KafkaListen = parsed.GetValue(kafkaListen) ?? (exits ? null : s_defaultKafkaListen),
                Exit = exits,
            });
        });
        return command;
    }

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
