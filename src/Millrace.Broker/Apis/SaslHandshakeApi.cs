using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>SaslHandshake (key 17, versions 0-1): names the mechanism of the login that follows, bare after version 0, in SaslAuthenticate after version 1.</summary>
internal sealed class SaslHandshakeApi : Api<SaslHandshakeRequest, SaslHandshakeResponse>
{
    /// <summary>What comes next is understood by what this has settled.</summary>
    public override bool IsPipelined => false;

    protected override ValueTask<SaslHandshakeResponse?> HandleAsync(SaslHandshakeRequest request, RequestContext context)
    {
        ErrorCode error = context.Session.Begin(request.Mechanism, context.Version);
        if (error != ErrorCode.None)
        {
            context.CloseConnection($"it wants to log in by '{request.Mechanism}': {KafkaErrors.Describe(error)}");
        }

        return new ValueTask<SaslHandshakeResponse?>(new SaslHandshakeResponse { ErrorCode = error, Mechanisms = [.. context.Session.Mechanisms] });
    }
}
