using Millrace.Kafka.Protocol;

namespace Millrace.Kafka;

/// <summary>How the requests of an authentication reach the broker: before a connection serves anybody, or between the requests of one that does.</summary>
internal interface ISaslChannel
{
    ValueTask<TResponse> AskAsync<TRequest, TResponse>(TRequest request, short version, CancellationToken cancellationToken)
        where TRequest : class, IRequest<TResponse>
        where TResponse : class, IMessage, new();
}

/// <summary>Logs a connection in: SaslHandshake names the mechanism, and SaslAuthenticate carries its messages (KIP-43, KIP-152).</summary>
internal static class SaslAuthenticator
{
    /// <summary>With version 0, messages would travel without SaslAuthenticate around them.</summary>
    private const short HandshakeVersion = 1;

    /// <summary>SCRAM needs two; a broker that asks for ever is not followed.</summary>
    private const int MaxRounds = 8;

    /// <summary>Runs one authentication to its end.</summary>
    /// <returns>How long the broker lets the session last (KIP-368); zero for no limit.</returns>
    /// <exception cref="KafkaAuthenticationException">Refused, or the broker is not what it should be.</exception>
    /// <exception cref="KafkaConnectionException">The client has no token now. That is no fault of the broker, and the next attempt may have one.</exception>
    /// <exception cref="KafkaVersionException">The broker knows no SASL as it has been since Kafka 1.0.</exception>
    public static async ValueTask<TimeSpan> RunAsync(
        ISaslChannel channel, BrokerAddress broker, BrokerVersions versions, SaslLogin login, CancellationToken cancellationToken)
    {
        short version = Math.Min(SaslAuthenticateRequest.Api.MaxVersion, NewestOf(versions, ApiKey.SaslAuthenticate, broker, lowest: 0));
        NewestOf(versions, ApiKey.SaslHandshake, broker, lowest: HandshakeVersion);
        try
        {
            SaslClient client = await login.BeginAsync(cancellationToken);
            await AgreeAsync(channel, broker, login.Mechanism, cancellationToken);
            byte[]? message = client.Begin();
            for (int round = 0; round < MaxRounds; round++)
            {
                SaslAuthenticateResponse response = await channel.AskAsync<SaslAuthenticateRequest, SaslAuthenticateResponse>(
                    new SaslAuthenticateRequest { AuthBytes = message }, version, cancellationToken);
                if (response.ErrorCode != ErrorCode.None)
                {
                    login.ForgetToken();
                    throw Refused(broker, client, response);
                }

                message = client.Next(response.AuthBytes);
                if (message is null)
                {
                    return TimeSpan.FromMilliseconds(Math.Max(0, response.SessionLifetimeMilliseconds));
                }
            }

            throw new SaslFaultException($"it asks for more than {MaxRounds} messages");
        }
        catch (NoTokenException fault)
        {
            throw new KafkaConnectionException($"No login to {broker} by {login.Mechanism}, for want of a token: {fault.Message}.", fault);
        }
        catch (SaslFaultException fault)
        {
            throw new KafkaAuthenticationException($"{login.Mechanism} with {broker} failed: {fault.Message}.", broker, login.Mechanism);
        }
    }

    private static async ValueTask AgreeAsync(ISaslChannel channel, BrokerAddress broker, string mechanism, CancellationToken cancellationToken)
    {
        SaslHandshakeResponse response = await channel.AskAsync<SaslHandshakeRequest, SaslHandshakeResponse>(
            new SaslHandshakeRequest { Mechanism = mechanism }, HandshakeVersion, cancellationToken);
        string? refusal = response.ErrorCode switch
        {
            ErrorCode.None => null,
            ErrorCode.UnsupportedSaslMechanism =>
                $"{broker} does not offer {mechanism}; it offers {(response.Mechanisms.Count > 0 ? string.Join(", ", response.Mechanisms) : "none")}. " +
                $"Set {nameof(KafkaSecurityOptions.Mechanism)} (sasl.mechanism) to one of those.",
            ErrorCode.IllegalSaslState =>
                $"{broker} wants no SASL on this listener. Connect to another port, or set {nameof(KafkaSecurityOptions.Protocol)} (security.protocol) without SASL.",
            _ => $"{broker} refused to begin {mechanism}: {KafkaErrors.Describe(response.ErrorCode)}",
        };
        if (refusal is not null)
        {
            throw new KafkaAuthenticationException(refusal, broker, mechanism, response.ErrorCode);
        }
    }

    private static KafkaAuthenticationException Refused(BrokerAddress broker, SaslClient client, SaslAuthenticateResponse response)
    {
        string who = client.User is { } user ? $" of user '{user}'" : "";
        string said = response.ErrorMessage is { Length: > 0 } text ? $" It says: {text}" : "";
        string next = client.User is null
            ? $"Check what {nameof(KafkaSecurityOptions.TokenProvider)} returns: issuer, audience, scope and clock."
            : $"Check {nameof(KafkaSecurityOptions.Username)} and {nameof(KafkaSecurityOptions.Password)}, and that the broker knows the user for {client.Mechanism}.";
        return new KafkaAuthenticationException(
            $"{broker} refused the {client.Mechanism} login{who}: {KafkaErrors.Describe(response.ErrorCode)}{said} {next}", broker, client.Mechanism, response.ErrorCode);
    }

    private static short NewestOf(BrokerVersions versions, ApiKey key, BrokerAddress broker, short lowest) =>
        versions.Ranges.TryGetValue(key, out (short Min, short Max) range) && range.Max >= lowest
            ? range.Max
            : throw new KafkaVersionException(
                $"{broker} does not offer {key} from version {lowest} on, by which this client logs in. Upgrade the broker (Apache Kafka has it since 1.0), " +
                $"or set {nameof(KafkaSecurityOptions.Protocol)} without SASL.");
}

/// <summary>Before a connection serves anybody: one question at a time, straight over the transport.</summary>
internal sealed class TransportSaslChannel(IKafkaTransport transport, BrokerAddress broker, string? clientId) : ISaslChannel
{
    private int _lastCorrelationId;

    public async ValueTask<TResponse> AskAsync<TRequest, TResponse>(TRequest request, short version, CancellationToken cancellationToken)
        where TRequest : class, IRequest<TResponse>
        where TResponse : class, IMessage, new()
    {
        await transport.SendAsync(MessageCodec.WriteRequest(request, version, ++_lastCorrelationId, clientId), cancellationToken);
        FrameBuffer frame = await transport.ReceiveAsync(cancellationToken);
        try
        {
            bool isRead = MessageCodec.TryReadResponse(frame.Payload, TRequest.Api, version, out int correlationId, out TResponse? response, out string? error);
            return isRead && correlationId == _lastCorrelationId
                ? response!
                : throw new KafkaProtocolException($"{broker} answered {TRequest.Api.Key} with bytes that cannot be read: {error ?? $"correlation id {correlationId} where {_lastCorrelationId} was due"}");
        }
        finally
        {
            frame.Release();
        }
    }
}
