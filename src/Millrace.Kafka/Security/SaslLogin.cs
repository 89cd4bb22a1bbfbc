using System.Security.Cryptography;
using Millrace.Kafka.Protocol;

namespace Millrace.Kafka;

/// <summary>What a client logs in with, on each of its connections.</summary>
internal sealed class SaslLogin : IDisposable
{
    /// <summary>The part of a token's life after which a connection gets a new one: as Kafka's <c>sasl.login.refresh.window.factor</c>.</summary>
    private const double RefreshAfter = 0.8;

    private const int NonceByteCount = 24;

    private readonly SaslSettings _settings;
    private readonly TimeProvider _time;
    private readonly SemaphoreSlim _asking = new(1);
    private OAuthBearerToken? _token;
    private DateTimeOffset _refreshAt;

    public SaslLogin(SaslSettings settings, TimeProvider time)
    {
        _settings = settings;
        _time = time;
    }

    public string Mechanism => _settings.MechanismName;

    /// <summary>The client's half of one authentication.</summary>
    /// <exception cref="SaslFaultException">No token is to be had.</exception>
    public async ValueTask<SaslClient> BeginAsync(CancellationToken cancellationToken) => _settings.Mechanism switch
    {
        SaslMechanism.Plain => new PlainClient(_settings.Username, _settings.Password),
        SaslMechanism.ScramSha256 => new ScramClient(ScramHash.Sha256, _settings.Username, _settings.Password, NewNonce()),
        SaslMechanism.ScramSha512 => new ScramClient(ScramHash.Sha512, _settings.Username, _settings.Password, NewNonce()),
        _ => new OAuthBearerClient(await GetTokenAsync(cancellationToken)),
    };

    /// <summary>The broker did not take the token: the next attempt asks for another one.</summary>
    public void ForgetToken() => Volatile.Write(ref _token, null);

    public void Dispose() => _asking.Dispose();

    private static string NewNonce() => Convert.ToBase64String(RandomNumberGenerator.GetBytes(NonceByteCount));

    private async ValueTask<OAuthBearerToken> GetTokenAsync(CancellationToken cancellationToken)
    {
        // One question at a time: connections that open together share its answer.
        await _asking.WaitAsync(cancellationToken);
        try
        {
            DateTimeOffset now = _time.GetUtcNow();
            if (_token is { } known && now < _refreshAt)
            {
                return known;
            }

            OAuthBearerToken token = await _settings.TokenProvider!(cancellationToken)
                ?? throw new SaslFaultException($"{nameof(KafkaSecurityOptions.TokenProvider)} returned null");
            now = _time.GetUtcNow();
            if (token.ExpiresAt <= now)
            {
                throw new SaslFaultException(
                    $"{nameof(KafkaSecurityOptions.TokenProvider)} returned a token that ended at {token.ExpiresAt:O}; now is {now:O}. Have it fetch a new one, and check the clock");
            }

            _refreshAt = now + ((token.ExpiresAt - now) * RefreshAfter);
            _token = token;
            return token;
        }
        catch (Exception failure) when (failure is not (SaslFaultException or OperationCanceledException))
        {
            throw new SaslFaultException($"{nameof(KafkaSecurityOptions.TokenProvider)} failed: {failure.Message}");
        }
        finally
        {
            _asking.Release();
        }
    }
}
