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

    /// <summary>The cluster that is the log, as <c>host:port</c> with commas; null for a log in this process.</summary>
    public string? Kafka { get; init; }

    /// <summary>What this process runs of the shop; all of it where the log is in the process.</summary>
    public ShopRole Role { get; init; }

    /// <summary>Stands before the names of topics and groups on a cluster, for a second shop there.</summary>
    public string Prefix { get; init; } = "";

    /// <summary>How many brokers keep each topic of the shop; -1 for what the brokers are set to.</summary>
    public short Replicas { get; init; } = -1;

    /// <summary>Holds the databases and the outbox, and the log where it is in the process.</summary>
    public string DataDirectory { get; init; } = Path.Combine("data", "shop");

    /// <summary>Where the HTTP API listens; null for nowhere.</summary>
    public HostPort? Listen { get; init; }

    /// <summary>Where Kafka clients reach the log; null for nowhere.</summary>
    public HostPort? KafkaListen { get; init; }

    /// <summary>Whether to end when all orders have, with a line for programs.</summary>
    public bool Exit { get; init; }

    public string LogDirectory => Path.Combine(DataDirectory, "log");

    public string OutboxDirectory => Path.Combine(DataDirectory, "outbox");

    /// <summary>The services that have a database each.</summary>
    public static IReadOnlyList<string> Services { get; } = ["order", "payment", "inventory", "shipping", "notification"];

    public string DatabasePath(string service) => Path.Combine(DataDirectory, $"{service}.db");
}
