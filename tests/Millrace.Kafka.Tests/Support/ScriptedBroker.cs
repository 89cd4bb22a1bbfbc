using System.Threading.Channels;
using Millrace.Kafka.Protocol;

namespace Millrace.Kafka.Tests;

/// <summary>A broker whose every answer is the test's: it hands out requests, and sends what it is given.</summary>
internal sealed class ScriptedBroker : IKafkaConnector
{
    public Channel<Connection> Connections { get; } = Channel.CreateUnbounded<Connection>();

    public List<short> ApiVersionsAsked { get; } = [];

    /// <summary>Answers ApiVersions; null closes the connection.</summary>
    public Func<short, ApiVersionsResponse?> OnApiVersions { get; set; } = _ => new ApiVersionsResponse
    {
        ApiKeys = [.. KafkaApis.All.Select(api => new ApiVersionRange { Key = api.Key, MinVersion = api.MinVersion, MaxVersion = api.MaxVersion })],
    };

    /// <summary>Why nobody can connect; null for those who can.</summary>
    public KafkaException? ConnectFailure { get; set; }

    public ValueTask<IKafkaTransport> ConnectAsync(BrokerAddress address, CancellationToken cancellationToken)
    {
        if (ConnectFailure is { } failure)
        {
            throw failure;
        }

        var connection = new Connection(this);
        Connections.Writer.TryWrite(connection);
        return new ValueTask<IKafkaTransport>(connection);
    }

    internal sealed class Connection(ScriptedBroker broker) : AnsweringTransport
    {
        public Channel<(RequestHeader Header, ReadOnlyMemory<byte> Body)> Requests { get; } =
            Channel.CreateUnbounded<(RequestHeader, ReadOnlyMemory<byte>)>();

        public bool IsDisposed { get; private set; }

        /// <summary>Takes no more frames, as a socket whose peer does not read.</summary>
        public bool IsFull { get; set; }

        public override ValueTask SendAsync(FrameBuffer frame, CancellationToken cancellationToken)
        {
            if (IsFull)
            {
                return new ValueTask(Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, cancellationToken));
            }

            Assert.True(MessageCodec.TryReadRequestHeader(frame.Payload, out RequestHeader header, out int bodyStart, out string? error), error);
            if (header.Key != ApiKey.ApiVersions)
            {
                Requests.Writer.TryWrite((header, frame.Payload[bodyStart..]));
                return ValueTask.CompletedTask;
            }

            broker.ApiVersionsAsked.Add(header.Version);
            if (broker.OnApiVersions(header.Version) is { } response)
            {
                // A refusal has the layout of version 0, whatever was asked (KIP-511).
                short version = response.ErrorCode == ErrorCode.UnsupportedVersion ? (short)0 : header.Version;
                Answer(response, ApiVersionsRequest.Api, version, header.CorrelationId);
            }
            else
            {
                Close();
            }

            return ValueTask.CompletedTask;
        }

        public override ValueTask DisposeAsync()
        {
            IsDisposed = true;
            return base.DisposeAsync();
        }
    }
}
