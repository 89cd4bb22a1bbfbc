using System.Text.Json;

namespace Millrace.Messaging.Tests;

/// <summary>Messages that wait in a database come back as they were.</summary>
public sealed class OutgoingMessageTests
{
    [Fact]
    public void A_message_survives_being_stored_as_json()
    {
        OutgoingMessage message = new(
            "shop.events",
            "4711",
            [0, 1, 255],
            new Envelope
            {
                MessageId = "m-1",
                Type = "shop.order-shipped.v1",
                Source = "Shop",
                Time = DateTimeOffset.UnixEpoch.AddTicks(1_234_567),
                ContentType = "application/json",
                CorrelationId = "chain",
                CausationId = "m-0",
                TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                TraceState = "a=b",
            },
            [new("tenant", "blue"), new("tenant", "grün")]);

        OutgoingMessage read = JsonSerializer.Deserialize<List<OutgoingMessage>>(JsonSerializer.Serialize<List<OutgoingMessage>>([message]))![0];

        Assert.Equal(message.Topic, read.Topic);
        Assert.Equal(message.Key, read.Key);
        Assert.Equal(message.Body, read.Body);
        Assert.Equal(message.Envelope, read.Envelope);
        Assert.Equal(message.Headers, read.Headers);
    }

    [Fact]
    public void A_message_without_key_and_chain_survives_too()
    {
        OutgoingMessage message = new("t", null, [], new Envelope { MessageId = "m", Type = "t.v1", Time = DateTimeOffset.UnixEpoch, CorrelationId = "m" }, []);
        OutgoingMessage read = JsonSerializer.Deserialize<OutgoingMessage>(JsonSerializer.Serialize(message))!;
        Assert.Null(read.Key);
        Assert.Empty(read.Body);
        Assert.Equal(message.Envelope, read.Envelope);
    }

    [Theory]
    [InlineData(ReplyStatus.Completed, "completed", "\"Completed\"")]
    [InlineData(ReplyStatus.Rejected, "rejected", "\"Rejected\"")]
    [InlineData(ReplyStatus.Failed, "failed", "\"Failed\"")]
    public void A_status_has_one_text_in_headers_and_one_in_json(ReplyStatus status, string text, string json)
    {
        Assert.Equal(text, ReplyHeaders.Format(status));
        Assert.True(ReplyHeaders.TryParse(text, out ReplyStatus read));
        Assert.Equal(status, read);
        Assert.Equal(json, JsonSerializer.Serialize(status));
        Assert.False(ReplyHeaders.TryParse("done", out _));
        Assert.False(ReplyHeaders.TryParse(null, out _));
    }
}
