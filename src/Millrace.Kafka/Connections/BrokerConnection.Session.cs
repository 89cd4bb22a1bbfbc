using Millrace.Kafka.Protocol;

namespace Millrace.Kafka;

/// <summary>
/// Sessions that end (KIP-368): before one does, the client logs in again on the same connection. Nothing else may leave between the first and the last message of that, so
/// that the send loop does it, before the next request that would leave late; a connection that nothing uses needs none.
/// </summary>
internal sealed partial class BrokerConnection
{
    /// <summary>The part of a session after which it is renewed: between these by chance, so that connections that began together do not meet again.</summary>
    private const double RenewAfter = 0.85;
    private const double RenewJitter = 0.1;

    // A timestamp, 0 for sessions without an end. The send loop's own.
    private long _renewAt;

    private bool IsSessionDue => _renewAt != 0 && _context.Time.GetElapsedTime(_renewAt) >= TimeSpan.Zero;

    /// <summary>The session has begun, and lasts so long; zero for no limit.</summary>
    private void BeginSession(TimeSpan lifetime)
    {
        TimeSpan renewAfter = lifetime * (RenewAfter + (RenewJitter * _context.Chance.NextFraction()));
        _renewAt = lifetime > TimeSpan.Zero
            ? Math.Max(1, _context.Time.GetTimestamp() + (long)(renewAfter.TotalSeconds * _context.Time.TimestampFrequency))
            : 0;
    }

    private async ValueTask RenewSessionAsync()
    {
        try
        {
            BeginSession(await SaslAuthenticator.RunAsync(new OwnChannel(this), Address, _brokerVersions, _context.Login!, _stop.Token));
            LogMessages.SessionRenewed(_logger, Address, _context.Login!.Mechanism);
        }
        catch (KafkaAuthenticationException refusal)
        {
            // The next attempt, on a new connection, tells it to who asks for one.
            _context.Refusals.Add(Address, refusal);
            throw;
        }
    }

    /// <summary>Requests of the connection itself, which wait for no permit.</summary>
    private sealed class OwnChannel(BrokerConnection connection) : ISaslChannel
    {
        public async ValueTask<TResponse> AskAsync<TRequest, TResponse>(TRequest request, short version, CancellationToken cancellationToken)
            where TRequest : class, IRequest<TResponse>
            where TResponse : class, IMessage, new()
        {
            int correlationId = Interlocked.Increment(ref connection._lastCorrelationId);
            var pending = new PendingRequest<TResponse>(TRequest.Api, version, correlationId, keepsFrame: false, holdsPermit: false);
            FrameBuffer frame = MessageCodec.WriteRequest(request, version, correlationId, connection._context.Settings.ClientId);
            try
            {
                connection.Expect(pending);
            }
            catch
            {
                frame.Release();
                throw;
            }

            // Without a time-out of its own: answers may wait behind those of earlier requests, and who waits for this one has a time-out that ends it.
            await connection._transport.SendAsync(frame, cancellationToken);
            return await pending.Response.InContext().WaitAsync(cancellationToken);
        }
    }
}
