using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>
/// Who is at the other end of a connection, and whether he may ask for anything yet. On a listener with SASL: ApiVersions, SaslHandshake and SaslAuthenticate until he has
/// logged in, and everything from then on, for as long as the session lasts (KIP-368). Synchronous; used by one request at a time.
/// </summary>
internal sealed class ConnectionSession(SaslServices? services)
{
    /// <summary>The largest message of a client that has not logged in. Kafka: <c>sasl.server.max.receive.size</c>.</summary>
    public const int MaxUnauthenticatedByteCount = 512 * 1024;

    private readonly SaslServices? _services = services;
    private State _state = services is null ? State.Open : State.AwaitsHandshake;
    private SaslExchange? _exchange;
    private string _mechanism = "";
    private string? _user;
    private long? _endsAt;

    private enum State
    {
        /// <summary>Nobody logs in here, or he has.</summary>
        Open,
        AwaitsHandshake,
        AwaitsMessage,
        Refused,
    }

    /// <summary>Who has logged in; null where nobody has.</summary>
    public string? User => _user;

    public bool IsOpen => _state == State.Open;

    /// <summary>Whether a login has begun, and its next message is due.</summary>
    public bool IsLoggingIn => _state == State.AwaitsMessage;

    public IReadOnlyList<string> Mechanisms => _services?.Mechanisms ?? [];

    public TimeSpan FailureDelay => _services?.FailureDelay ?? TimeSpan.Zero;

    /// <summary>After version 0 of SaslHandshake, each frame is a message of the mechanism and nothing else.</summary>
    public bool ExpectsBareMessage { get; private set; }

    /// <summary>Why a request may not be served now, or null.</summary>
    public string? FaultOf(ApiKey key) => key switch
    {
        ApiKey.SaslHandshake or ApiKey.SaslAuthenticate => null,
        ApiKey.ApiVersions when _state is not State.Refused && _user is null => null,
        _ when !IsOpen => _user is null
            ? $"it asks for {key} before it has logged in. The client needs SASL for this listener (sasl.mechanism: {string.Join(", ", Mechanisms)})"
            : $"it asks for {key} between the messages of a new login",
        _ when _endsAt is { } end && _services!.Time.GetElapsedTime(end) >= TimeSpan.Zero =>
            $"the session of '{_user}' has ended, and it asks for {key} before it has logged in again (connections.max.reauth.ms)",
        _ => null,
    };

    /// <summary>A client names its mechanism.</summary>
    public ErrorCode Begin(string mechanism, short version)
    {
        if (_services is null || _state is State.AwaitsMessage or State.Refused || (IsOpen && mechanism != _mechanism))
        {
            // Nobody logs in here, or one login is under way, or a new login goes by another mechanism than the first.
            return ErrorCode.IllegalSaslState;
        }

        if (!_services.Mechanisms.Contains(mechanism, StringComparer.Ordinal))
        {
            return ErrorCode.UnsupportedSaslMechanism;
        }

        _mechanism = mechanism;
        _exchange = _services.Begin(mechanism);
        _state = State.AwaitsMessage;
        ExpectsBareMessage = version == 0;
        return ErrorCode.None;
    }

    /// <summary>A message of the mechanism; null: none was due.</summary>
    public SaslStep? Next(ReadOnlySpan<byte> message)
    {
        if (_state != State.AwaitsMessage)
        {
            return null;
        }

        SaslStep step = _exchange!.Next(message);
        if (step.User is { } user && _user is not null && _user != user)
        {
            step = SaslStep.Failed($"'{_user}' wants to become '{user}' on the same connection");
        }

        if (step.Fault is not null)
        {
            _state = State.Refused;
            ExpectsBareMessage = false;
        }
        else if (step.User is not null)
        {
            _user = step.User;
            _state = State.Open;
            ExpectsBareMessage = false;
            TimeSpan lifetime = _services!.MaxSessionLifetime;
            _endsAt = lifetime > TimeSpan.Zero ? _services.Time.GetTimestamp() + (long)(lifetime.TotalSeconds * _services.Time.TimestampFrequency) : null;
        }

        return step;
    }

    /// <summary>What the client is told of how long its session lasts; 0 for no end.</summary>
    public long LifetimeMilliseconds => (long)(_services?.MaxSessionLifetime.TotalMilliseconds ?? 0);
}
