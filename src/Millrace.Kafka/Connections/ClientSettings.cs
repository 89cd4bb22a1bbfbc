namespace Millrace.Kafka;

/// <summary>What <see cref="KafkaClientOptions"/> said when the client was created, checked.</summary>
internal sealed record ClientSettings(
    IReadOnlyList<BrokerAddress> BootstrapAddresses,
    string ClientId,
    TimeSpan RequestTimeout,
    TimeSpan ApiTimeout,
    TimeSpan ConnectTimeout,
    TimeSpan ConnectTimeoutMax,
    TimeSpan ReconnectBackoff,
    TimeSpan ReconnectBackoffMax,
    TimeSpan RetryBackoff,
    TimeSpan RetryBackoffMax,
    TimeSpan MetadataMaxAge,
    TimeSpan MaxConnectionIdleTime,
    MetadataRecovery MetadataRecovery,
    TimeSpan RebootstrapTrigger,
    bool AllowAutoCreateTopics,
    int MaxInFlightRequests,
    SecuritySettings Security,
    bool KeepsCallersContext)
{
    private const int MinResponseByteCount = 1024;

    /// <summary>The most bytes of records that a fetch may ask for: half of what is read in one answer, since one batch that is larger than what was asked for comes all the same.</summary>
    public int MaxFetchByteCount { get; private init; }

    public static ClientSettings From(KafkaClientOptions options)
    {
        OptionChecks.AtLeast(options.RequestTimeout, TimeSpan.FromMilliseconds(1), nameof(options.RequestTimeout));
        OptionChecks.AtLeast(options.ApiTimeout, TimeSpan.FromMilliseconds(1), nameof(options.ApiTimeout));
        OptionChecks.AtLeast(options.ConnectTimeout, TimeSpan.FromMilliseconds(1), nameof(options.ConnectTimeout));
        OptionChecks.AtLeast(options.ConnectTimeoutMax, options.ConnectTimeout, nameof(options.ConnectTimeoutMax));
        if (options.MaxConnectionIdleTime != Timeout.InfiniteTimeSpan)
        {
            OptionChecks.AtLeast(options.MaxConnectionIdleTime, TimeSpan.FromMilliseconds(10), nameof(options.MaxConnectionIdleTime));
        }

        OptionChecks.AtLeast(options.RebootstrapTrigger, TimeSpan.Zero, nameof(options.RebootstrapTrigger));
        OptionChecks.AtLeast(options.ReconnectBackoff, TimeSpan.Zero, nameof(options.ReconnectBackoff));
        OptionChecks.AtLeast(options.ReconnectBackoffMax, options.ReconnectBackoff, nameof(options.ReconnectBackoffMax));
        OptionChecks.AtLeast(options.RetryBackoff, TimeSpan.FromMilliseconds(1), nameof(options.RetryBackoff));
        OptionChecks.AtLeast(options.RetryBackoffMax, options.RetryBackoff, nameof(options.RetryBackoffMax));
        OptionChecks.AtLeast(options.MetadataMaxAge, TimeSpan.FromMilliseconds(1), nameof(options.MetadataMaxAge));
        OptionChecks.AtLeast(options.MaxResponseByteCount, MinResponseByteCount, nameof(options.MaxResponseByteCount));
        OptionChecks.AtLeast(options.MaxInFlightRequests, 1, nameof(options.MaxInFlightRequests));
        return new ClientSettings(
            ParseBootstrapServers(options.BootstrapServers, nameof(options.BootstrapServers)),
            options.ClientId ?? "",
            options.RequestTimeout,
            options.ApiTimeout,
            options.ConnectTimeout,
            options.ConnectTimeoutMax,
            options.ReconnectBackoff,
            options.ReconnectBackoffMax,
            options.RetryBackoff,
            options.RetryBackoffMax,
            options.MetadataMaxAge,
            options.MaxConnectionIdleTime,
            options.MetadataRecovery,
            options.RebootstrapTrigger,
            options.AllowAutoCreateTopics,
            options.MaxInFlightRequests,
            SecuritySettings.From(options.Security, hasConnector: options.Connector is not null),
            options.KeepsCallersContext)
        {
            MaxFetchByteCount = options.MaxResponseByteCount / 2,
        };
    }

    private static List<BrokerAddress> ParseBootstrapServers(string? text, string option)
    {
        var addresses = new List<BrokerAddress>();
        string[] parts = (text ?? "").Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        foreach (string part in parts)
        {
            if (!BrokerAddress.TryParse(part, out BrokerAddress address))
            {
                throw new ArgumentException(
                    $"{option} holds '{part}', which is not host:port. Write for example 'broker-1:9092,broker-2:9092', with commas between several.",
                    option);
            }

            addresses.Add(address);
        }

        return addresses.Count > 0
            ? addresses
            : throw new ArgumentException($"{option} is empty. Name at least one broker, for example 'localhost:9092'.", option);
    }
}

/// <summary>Sentences about options that are out of range.</summary>
internal static class OptionChecks
{
    /// <summary>What timers take, about.</summary>
    private static readonly TimeSpan MaxTime = TimeSpan.FromDays(24);

    public static void AtLeast(TimeSpan value, TimeSpan minimum, string option) => Between(value, minimum, MaxTime, option);

    public static void AtLeast<T>(T value, T minimum, string option)
        where T : IComparable<T>
    {
        if (value.CompareTo(minimum) < 0)
        {
            throw new ArgumentException($"{option} is {value}; it must be at least {minimum}.", option);
        }
    }

    public static void Between<T>(T value, T minimum, T maximum, string option)
        where T : IComparable<T>
    {
        if (value.CompareTo(minimum) < 0 || value.CompareTo(maximum) > 0)
        {
            throw new ArgumentException($"{option} is {value}; it must be between {minimum} and {maximum}.", option);
        }
    }
}
