using Millrace.Kafka.Protocol;

namespace Millrace.Kafka.Tests;

/// <summary>A network that can be cut: connections break, and no new ones open, until it is mended.</summary>
internal sealed class CuttableConnector(IKafkaConnector inner) : IKafkaConnector
{
    private readonly Lock _gate = new();
    private readonly List<IKafkaTransport> _open = [];
    private bool _isCut;
    private int _heartbeatCount;

    /// <summary>How many heartbeats were sent through it.</summary>
    public int HeartbeatCount => Volatile.Read(ref _heartbeatCount);

    public async ValueTask<IKafkaTransport> ConnectAsync(BrokerAddress address, CancellationToken cancellationToken)
    {
        IKafkaTransport transport = await inner.ConnectAsync(address, cancellationToken);
        lock (_gate)
        {
            if (!_isCut)
            {
                var cuttable = new CuttableTransport(transport, this);
                _open.Add(cuttable);
                return cuttable;
            }
        }

        await transport.DisposeAsync();
        throw new KafkaConnectionException("The network is cut.");
    }

    public void Cut()
    {
        IKafkaTransport[] open;
        lock (_gate)
        {
            _isCut = true;
            open = [.. _open];
            _open.Clear();
        }

        foreach (IKafkaTransport transport in open)
        {
            _ = transport.DisposeAsync().AsTask();
        }
    }

    /// <summary>Breaks what is open; what comes next works.</summary>
    public void Break()
    {
        Cut();
        Mend();
    }

    public void Mend()
    {
        lock (_gate)
        {
            _isCut = false;
        }
    }

    private sealed class CuttableTransport(IKafkaTransport inner, CuttableConnector owner) : IKafkaTransport
    {
        private readonly CancellationTokenSource _cut = new();

        public async ValueTask SendAsync(FrameBuffer frame, CancellationToken cancellationToken)
        {
            if (_cut.IsCancellationRequested)
            {
                frame.Release();
                throw new KafkaConnectionException("The network is cut.");
            }

            bool isHeartbeat = MessageCodec.TryReadRequestHeader(frame.Payload, out RequestHeader header, out _, out _) && header.Key == ApiKey.Heartbeat;
            await inner.SendAsync(frame, cancellationToken);
            if (isHeartbeat)
            {
                Interlocked.Increment(ref owner._heartbeatCount);
            }
        }

        public async ValueTask<FrameBuffer> ReceiveAsync(CancellationToken cancellationToken)
        {
            using var linked = CancellationTokenSource.CreateLinkedTokenSource(_cut.Token, cancellationToken);
            try
            {
                return await inner.ReceiveAsync(linked.Token);
            }
            catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
            {
                throw new KafkaConnectionException("The network is cut.");
            }
        }

        public async ValueTask DisposeAsync()
        {
            await _cut.CancelAsync();
            await inner.DisposeAsync();
        }
    }
}
