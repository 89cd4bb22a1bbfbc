using Millrace.Broker;
using Millrace.Kafka.Protocol;

namespace Millrace.Simulation.Tests;

/// <summary>A client's end of a connection. Requests are answered with null when it is lost; they may have been carried out or not, or may be yet.</summary>
internal sealed class SimulatedLink
{
    private readonly InMemoryConnection _connection;
    private readonly Queue<Action<FrameBuffer?>> _waiting = new();
    private readonly string _name;
    private readonly BrokerTrace? _trace;
    private int _correlationId;

    public SimulatedLink(InMemoryConnection connection, string name, BrokerTrace? trace)
    {
        _connection = connection;
        _name = name;
        _trace = trace;
        _ = ReadAsync();
    }

    public bool IsLost { get; private set; }

    /// <summary>It lasts as long as the broker does.</summary>
    public bool IsSteady { get; set; }

    public async Task<TResponse?> SendAsync<TRequest, TResponse>(TRequest request, short version)
        where TRequest : class, IRequest<TResponse>, new()
        where TResponse : class, IMessage, new()
    {
        TaskCompletionSource<FrameBuffer?> answered = new(TaskCreationOptions.RunContinuationsAsynchronously);
        if (!TryWrite(request, version))
        {
            return null;
        }

        string number = $"{_name}/{_correlationId}";
        _waiting.Enqueue(answered.SetResult);
        TResponse? response = null;
        if (await answered.Task is { } frame)
        {
            bool isRead = MessageCodec.TryReadResponse(frame.Payload, TRequest.Api, version, out _, out response, out string? error);
            Require.That(isRead, $"an answer to {TRequest.Api.Key} {version} can be read: {error}");
        }

        _trace?.Add($"<- {number}", TRequest.Api.Key, response);
        return response;
    }

    /// <summary>Sends what is not answered.</summary>
    public bool TryWrite<TRequest>(TRequest request, short version)
        where TRequest : class, IRequest
    {
        _trace?.Add($"-> {_name}/{_correlationId + 1}", TRequest.Api.Key, request);
        if (!IsLost && _connection.Requests.TryWrite(MessageCodec.WriteRequest(request, version, ++_correlationId, "simulation")))
        {
            return true;
        }

        Cut();
        return false;
    }

    /// <summary>The client gives the connection up. What it has sent may still arrive.</summary>
    public void Cut()
    {
        Lose();
        _ = _connection.DisposeAsync();
    }

    /// <summary>The broker is gone.</summary>
    public void Lose()
    {
        IsLost = true;
        while (_waiting.TryDequeue(out Action<FrameBuffer?>? answer))
        {
            answer(null);
        }
    }

    private async Task ReadAsync()
    {
        while (await _connection.Responses.WaitToReadAsync())
        {
            while (_connection.Responses.TryRead(out FrameBuffer? frame))
            {
                // Not released: records in the response are slices of it.
                if (_waiting.TryDequeue(out Action<FrameBuffer?>? answer))
                {
                    answer(frame);
                }
            }
        }

        Lose();
    }
}
