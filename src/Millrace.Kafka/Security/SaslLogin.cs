using System.Security.Cryptography;
using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;

namespace Millrace.Kafka;

/// <summary>What a client logs in with, on each of its connections.</summary>
internal sealed class SaslLogin : IDisposable
{
    /// <summary>After a failure the provider of tokens is asked again after pauses between these.</summary>
    public static readonly TimeSpan FirstPause = TimeSpan.FromSeconds(1);
    public static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(10);

    /// <summary>What a token in hand must have left to be used where no new one is to be had: it has to reach the broker, and to be worth a session.</summary>
    public static readonly TimeSpan LeastRest = TimeSpan.FromSeconds(10);

    /// <summary>How long a connection waits for a new token where it can do with the one in hand.</summary>
    public static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(5);

    /// <summary>The part of a token's life after which a connection gets a new one: as Kafka's <c>sasl.login.refresh.window.factor</c>.</summary>
    private const double RefreshAfter = 0.8;

    private const int NonceByteCount = 24;

    private readonly SaslSettings _settings;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly Backoff _pauses;
    private readonly SemaphoreSlim _asking = new(1);
    private OAuthBearerToken? _token;
    private DateTimeOffset _refreshAt;

    // Of the provider's last answer, if that was no token.
    private string? _failure;
    private int _failureCount;
    private long _failedAt;
    private TimeSpan _pause;

    public SaslLogin(SaslSettings settings, TimeProvider time, Chance chance, ILogger logger)
    {
        _settings = settings;
        _time = time;
        _logger = logger;
        _pauses = new Backoff(FirstPause, LongestPause, chance);
    }

    public string Mechanism => _settings.MechanismName;

    private bool IsPausing => _failure is not null && _time.GetElapsedTime(_failedAt) < _pause;

    /// <summary>The client's half of one authentication.</summary>
    /// <exception cref="NoTokenException">No token is to be had now.</exception>
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
            if (IsPausing)
            {
                return InHand() ?? throw new NoTokenException(_failure!);
            }

            return _token is { } known && _time.GetUtcNow() < _refreshAt ? known : await RefreshAsync(cancellationToken);
        }
        finally
        {
            _asking.Release();
        }
    }

    private async ValueTask<OAuthBearerToken> RefreshAsync(CancellationToken cancellationToken)
    {
        using var limit = new CancellationTokenSource(InHand() is null ? Timeout.InfiniteTimeSpan : LongestWait, _time);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, cancellationToken);
        try
        {
            OAuthBearerToken token = await AskAsync(linked.Token);
            _failure = null;
            _failureCount = 0;
            return token;
        }
        catch (Exception failure)
        {
            OAuthBearerToken? inHand = InHand();
            if (inHand is not null || !cancellationToken.IsCancellationRequested)
            {
                Pause(Explain(failure, isOverdue: limit.IsCancellationRequested), inHand);
            }

            // An attempt that has run out of time is over; the next one begins with the token in hand.
            cancellationToken.ThrowIfCancellationRequested();
            return inHand ?? throw new NoTokenException(_failure!);
        }
    }

    private static string Explain(Exception failure, bool isOverdue) => failure switch
    {
        NoTokenException => failure.Message,
        OperationCanceledException when isOverdue => $"{nameof(KafkaSecurityOptions.TokenProvider)} has not answered within {LongestWait}",
        _ => $"{nameof(KafkaSecurityOptions.TokenProvider)} failed: {failure.Message}",
    };

    private async ValueTask<OAuthBearerToken> AskAsync(CancellationToken cancellationToken)
    {
        // A provider may not look at its token.
        OAuthBearerToken token = await _settings.TokenProvider!(cancellationToken).AsTask().WaitAsync(cancellationToken)
            ?? throw new NoTokenException($"{nameof(KafkaSecurityOptions.TokenProvider)} returned null");
        DateTimeOffset now = _time.GetUtcNow();
        if (token.ExpiresAt <= now)
        {
            throw new NoTokenException(
                $"{nameof(KafkaSecurityOptions.TokenProvider)} returned a token that ended at {token.ExpiresAt:O}; now is {now:O}. Have it fetch a new one, and check the clock");
        }

        _refreshAt = now + ((token.ExpiresAt - now) * RefreshAfter);
        _token = token;
        return token;
    }

    /// <summary>The last token, if it can be used for want of a new one.</summary>
    private OAuthBearerToken? InHand() => _token is { } token && token.ExpiresAt - _time.GetUtcNow() > LeastRest ? token : null;

    private void Pause(string reason, OAuthBearerToken? inHand)
    {
        _failure = reason;
        _failedAt = _time.GetTimestamp();
        _pause = _pauses.After(++_failureCount);
        if (inHand is not null)
        {
            // When the one in hand is of no more use, the provider is asked whatever it has said before.
            TimeSpan rest = inHand.ExpiresAt - _time.GetUtcNow() - LeastRest;
            _pause = _pause < rest ? _pause : rest;
            LogMessages.TokenNotRenewed(_logger, inHand.ExpiresAt, _pause, reason);
        }
    }
}

/// <summary>The provider of tokens has none now. The message names no secret.</summary>
internal sealed class NoTokenException(string message) : Exception(message);
