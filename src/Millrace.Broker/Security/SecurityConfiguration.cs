using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>What listeners other than plaintext ones go by.</summary>
internal sealed record SecurityConfiguration
{
    /// <summary>Null where no listener has TLS.</summary>
    public required TlsServer? Tls { get; init; }

    /// <summary>Null where no listener has SASL.</summary>
    public required string? UsersFile { get; init; }

    public required IReadOnlyList<string> Mechanisms { get; init; }
    public required TimeSpan AuthenticationTimeout { get; init; }
    public required TimeSpan FailedAuthenticationDelay { get; init; }

    /// <summary>Zero: sessions have no end.</summary>
    public required TimeSpan MaxSessionLifetime { get; init; }

    public static SecurityConfiguration From(BrokerOptions options, IReadOnlyList<ListenerConfiguration> listeners, List<string> faults)
    {
        bool needsSasl = listeners.Any(static listener => listener.HasSasl);
        if (needsSasl && string.IsNullOrWhiteSpace(options.UsersFile))
        {
            faults.Add("A listener has SASL and UsersFile is not set: make a file with 'millrace user add NAME --users FILE', and name it.");
        }

        foreach (string mechanism in options.SaslMechanisms.Where(static mechanism => !IsKnown(mechanism)))
        {
            faults.Add($"SaslMechanisms has '{mechanism}': give PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512, or some of them.");
        }

        if (needsSasl && options.SaslMechanisms.Count == 0)
        {
            faults.Add("SaslMechanisms is empty: give PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512, or some of them.");
        }

        RequireTime(faults, nameof(options.AuthenticationTimeout), options.AuthenticationTimeout, TimeSpan.FromMilliseconds(100));
        RequireTime(faults, nameof(options.FailedAuthenticationDelay), options.FailedAuthenticationDelay, TimeSpan.Zero);
        RequireTime(faults, nameof(options.MaxSessionLifetime), options.MaxSessionLifetime, TimeSpan.Zero);
        return new SecurityConfiguration
        {
            Tls = listeners.Any(static listener => listener.HasTls) ? TlsServer.Load(options.Tls, faults) : null,
            UsersFile = needsSasl ? options.UsersFile : null,
            Mechanisms = [.. options.SaslMechanisms],
            AuthenticationTimeout = options.AuthenticationTimeout,
            FailedAuthenticationDelay = options.FailedAuthenticationDelay,
            MaxSessionLifetime = options.MaxSessionLifetime,
        };
    }

    private static bool IsKnown(string mechanism) => mechanism == PlainExchange.Mechanism || ScramHash.Find(mechanism) is not null;

    private static void RequireTime(List<string> faults, string name, TimeSpan value, TimeSpan least)
    {
        if (value < least || value > TimeSpan.FromDays(24))
        {
            faults.Add($"{name} is {value}: give {least} to 24 days.");
        }
    }
}
