using System.Threading.Channels;
using Millrace.Kafka.Protocol;

namespace Millrace.Broker.Tests;

/// <summary>Speaks to a broker over an in-memory connection, one message at a time or several in flight.</summary>
internal sealed class TestClient(InMemoryConnection connection) : IAsyncDisposable
{
    /// <summary>No answer of a working broker takes this long, however busy the machine is.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private int _correlationId;

    public async Task<TResponse> SendAsync<TRequest, TResponse>(TRequest request, short version)
        where TRequest : class, IRequest<TResponse>, new()
        where TResponse : class, IMessage, new()
    {
        int correlationId = await PostAsync(request, version);
        (int answered, TResponse response) = await ReceiveAsync<TRequest, TResponse>(version);
        Assert.Equal(correlationId, answered);
        return response;
    }

    /// <summary>Sends without waiting for the answer; returns the correlation id.</summary>
    public async Task<int> PostAsync<TRequest>(TRequest request, short version)
        where TRequest : IRequest
    {
        int correlationId = ++_correlationId;
        await connection.Requests.WriteAsync(MessageCodec.WriteRequest(request, version, correlationId, "test")).AsTask().WaitAsync(Patience);
        return correlationId;
    }

    public Task PostRawAsync(FrameBuffer frame) => connection.Requests.WriteAsync(frame).AsTask();

    public async Task<(int CorrelationId, TResponse Response)> ReceiveAsync<TRequest, TResponse>(short version)
        where TRequest : class, IRequest<TResponse>, new()
        where TResponse : class, IMessage, new()
    {
        FrameBuffer frame = await connection.Responses.ReadAsync().AsTask().WaitAsync(Patience);
        bool isRead = MessageCodec.TryReadResponse(frame.Payload, TRequest.Api, version, out int correlationId, out TResponse? response, out string? error);
        Assert.True(isRead, error);

        // Not released: records in the response are slices of the frame.
        return (correlationId, response!);
    }

    /// <summary>Whether a response is there, now.</summary>
    public bool HasResponse => connection.Responses.TryPeek(out _);

    /// <summary>Waits for the broker to close the connection, taking what it still sends.</summary>
    public async Task<int> CountResponsesUntilClosedAsync()
    {
        int count = 0;
        try
        {
            while (true)
            {
                FrameBuffer frame = await connection.Responses.ReadAsync().AsTask().WaitAsync(Patience);
                frame.Release();
                count++;
            }
        }
        catch (ChannelClosedException)
        {
            return count;
        }
    }

    public ValueTask DisposeAsync() => connection.DisposeAsync();
}
