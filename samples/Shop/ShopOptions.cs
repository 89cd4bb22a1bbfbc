namespace Shop;

/// <summary>What the command line says.</summary>
internal sealed record ShopOptions
{
    /// <summary>How many orders the data directory shall hold.</summary>
    public int OrderCount { get; init; } = 500;

    /// <summary>The share of payments that the bank declines.</summary>
    public double DeclineRate { get; init; } = 0.05;

    /// <summary>The share of orders whose goods turn out to be missing.</summary>
    public double OutOfStockRate { get; init; } = 0.03;

    /// <summary>The share of attempts in which a service fails before or after it has committed.</summary>
    public double FlakyRate { get; init; } = 0.05;

    /// <summary>Decides, with an order's id, what happens to it.</summary>
    public int Seed { get; init; } = 1;

    /// <summary>Holds the log, the five databases and the outbox.</summary>
    public string DataDirectory { get; init; } = Path.Combine("data", "shop");

    /// <summary>Where the HTTP API listens; null for nowhere.</summary>
    public HostPort? Listen { get; init; }

    /// <summary>Where Kafka clients reach the log; null for nowhere.</summary>
    public HostPort? KafkaListen { get; init; }

    /// <summary>Whether to end when all orders have, with a line for programs.</summary>
    public bool Exit { get; init; }

    public string LogDirectory => Path.Combine(DataDirectory, "log");

    public string OutboxDirectory => Path.Combine(DataDirectory, "outbox");

    public string DatabasePath(string service) => Path.Combine(DataDirectory, $"{service}.db");
}
