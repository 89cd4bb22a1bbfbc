using System.Security.Cryptography;
using Microsoft.Extensions.Logging;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>What logins on all connections share.</summary>
internal sealed class SaslServices
{
    private const int SecretByteCount = 32;

    private readonly byte[] _secret = RandomNumberGenerator.GetBytes(SecretByteCount);
    private readonly UserStore _users;

    /// <exception cref="BrokerStartException">The file of the users cannot be read.</exception>
    public SaslServices(SecurityConfiguration configuration, string usersFile, IStorage storage, TimeProvider time, ILogger logger)
    {
        _users = new UserStore(storage, usersFile, logger);
        Mechanisms = configuration.Mechanisms;
        FailureDelay = configuration.FailedAuthenticationDelay;
        MaxSessionLifetime = configuration.MaxSessionLifetime;
        Time = time;
    }

    public IReadOnlyList<string> Mechanisms { get; }
    public TimeSpan FailureDelay { get; }
    public TimeSpan MaxSessionLifetime { get; }
    public TimeProvider Time { get; }

    public SaslExchange Begin(string mechanism) => SaslExchange.Create(mechanism, _users.Current, _secret);
}
