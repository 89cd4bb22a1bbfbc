using System.Collections.Frozen;
using Millrace.Kafka.Protocol;

namespace Millrace.Tests;

/// <summary>Reads and writes the frames of one API, whatever its messages are.</summary>
internal abstract class ApiFrames
{
    private static readonly FrozenDictionary<ApiKey, ApiFrames> s_all = typeof(IMessage).Assembly.GetTypes()
        .Select(Create).OfType<ApiFrames>().ToFrozenDictionary(frames => frames.Api.Key);

    public abstract ApiDefinition Api { get; }

    public static ApiFrames Of(ApiKey key) => s_all[key];

    public abstract FrameBuffer ChangeRequest(ReadOnlyMemory<byte> body, RequestHeader header, Action<IMessage> change);

    public abstract FrameBuffer ChangeResponse(ReadOnlyMemory<byte> payload, short version, Action<IMessage> change);

    private static ApiFrames? Create(Type request)
    {
        Type? response = request.GetInterfaces()
            .FirstOrDefault(type => type.IsGenericType && type.GetGenericTypeDefinition() == typeof(IRequest<>))?.GetGenericArguments()[0];
        return response is null ? null : (ApiFrames)Activator.CreateInstance(typeof(Frames<,>).MakeGenericType(request, response))!;
    }

    private sealed class Frames<TRequest, TResponse> : ApiFrames
        where TRequest : class, IRequest<TResponse>, new()
        where TResponse : class, IMessage, new()
    {
        public override ApiDefinition Api => TRequest.Api;

        public override FrameBuffer ChangeRequest(ReadOnlyMemory<byte> body, RequestHeader header, Action<IMessage> change)
        {
            Assert.True(MessageCodec.TryReadRequest(body, header.Version, out TRequest? request, out string? error), error);
            change(request);
            return MessageCodec.WriteRequest(request, header.Version, header.CorrelationId, header.ClientId);
        }

        public override FrameBuffer ChangeResponse(ReadOnlyMemory<byte> payload, short version, Action<IMessage> change)
        {
            Assert.True(
                MessageCodec.TryReadResponse(payload, Api, version, out int correlationId, out TResponse? response, out string? error), error);
            change(response);
            return MessageCodec.WriteResponse(response, Api, version, correlationId);
        }
    }
}
