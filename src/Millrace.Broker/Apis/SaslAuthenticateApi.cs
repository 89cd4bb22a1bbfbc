using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>SaslAuthenticate (key 36, versions 0-2): carries the messages of a login (KIP-152), and tells how long the session lasts (KIP-368).</summary>
/// <remarks>A login that fails is answered after a pause, and the connection closed: guessing takes time, and the answer does not tell what was wrong.</remarks>
internal sealed class SaslAuthenticateApi(TimeProvider time, ILogger logger) : Api<SaslAuthenticateRequest, SaslAuthenticateResponse>
{
    public override bool IsPipelined => false;

    /// <summary>A message without a request around it, as after version 0 of SaslHandshake. Its answer is as bare; a refusal is the end of the connection.</summary>
    public async Task<IMessage?> HandleBareAsync(ReadOnlyMemory<byte> message, RequestContext context)
    {
        SaslAuthenticateResponse response = await StepAsync(message, context);
        return response.ErrorCode == ErrorCode.None ? new BareSaslMessage(response.AuthBytes) : null;
    }

    protected override async ValueTask<SaslAuthenticateResponse?> HandleAsync(SaslAuthenticateRequest request, RequestContext context) =>
        await StepAsync(request.AuthBytes, context);

    private async ValueTask<SaslAuthenticateResponse> StepAsync(ReadOnlyMemory<byte> message, RequestContext context)
    {
        if (context.Session.Next(message.Span) is not { } step)
        {
            context.CloseConnection("it sends a message of a login that has not begun");
            return new SaslAuthenticateResponse { ErrorCode = ErrorCode.IllegalSaslState, ErrorMessage = "SaslHandshake has to come first." };
        }

        if (step.Fault is { } fault)
        {
            LogMessages.LoginFailed(logger, context.Connection.Remote, fault);
            context.CloseConnection("its login failed");
            await Task.Delay(context.Session.FailureDelay, time, context.Aborted)
                .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
            return new SaslAuthenticateResponse { ErrorCode = ErrorCode.SaslAuthenticationFailed, ErrorMessage = "The name or the password is wrong." };
        }

        if (step.User is { } user)
        {
            LogMessages.LoggedIn(logger, context.Connection.Remote, user);
            return new SaslAuthenticateResponse { AuthBytes = step.Answer, SessionLifetimeMilliseconds = context.Session.LifetimeMilliseconds };
        }

        return new SaslAuthenticateResponse { AuthBytes = step.Answer };
    }
}

/// <summary>The answer to a message that came without a request around it: its bytes behind their length.</summary>
internal sealed class BareSaslMessage(byte[] bytes) : IMessage
{
    public FrameBuffer ToFrame()
    {
        FrameBuffer frame = FrameBuffer.Rent(FrameBuffer.SizePrefixByteCount + bytes.Length);
        bytes.CopyTo(frame.Bytes.Span[FrameBuffer.SizePrefixByteCount..]);
        return frame;
    }

    /// <summary>It has no layout but its own.</summary>
    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct => throw new NotSupportedException("A bare message of a login is not an answer of an API.");
}
