using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Millrace.Messaging.Tests;

/// <summary>What a person gets wrong, and the sentence that says what to do.</summary>
public sealed class BadInputTests : IDisposable
{
    private readonly TestApplication _application = new();

    public void Dispose() => _application.Dispose();

    [Fact]
    public async Task Publishing_before_the_start_and_after_the_stop_says_so()
    {
        using IHost host = _application.Build(_ => { });

        MillraceNotRunningException early = await Assert.ThrowsAsync<MillraceNotRunningException>(() => host.Bus().PublishAsync(new Heartbeat(1)));
        Assert.Contains("the host has not started", early.Message, StringComparison.Ordinal);

        await host.StartAsync();
        await host.Bus().PublishAsync(new Heartbeat(1));
        await host.StopAsync();

        MillraceNotRunningException late = await Assert.ThrowsAsync<MillraceNotRunningException>(() => host.Bus().PublishAsync(new Heartbeat(1)));
        Assert.Contains("the host has stopped", late.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_command_that_nobody_handles_is_refused_by_an_embedded_log()
    {
        using IHost host = await _application.StartAsync(millrace => millrace.HandledElsewhere<RefundPayment>());

        CommandNotHandledException failure = await Assert.ThrowsAsync<CommandNotHandledException>(() => host.Bus().SendAsync(new ChargePayment(Guid.Empty, 1)));
        Assert.Contains("Nobody handles the command payment.charge.v1", failure.Message, StringComparison.Ordinal);
        Assert.Contains("millrace.HandledElsewhere<ChargePayment>()", failure.Message, StringComparison.Ordinal);
        await host.Bus().SendAsync(new RefundPayment(Guid.Empty));
        await host.StopAsync();
    }

    [Fact]
    public async Task An_event_is_not_sent_and_a_command_is_not_published()
    {
        using IHost host = await _application.StartAsync(_ => { });

        Assert.Contains("is an event. Publish it", (await Assert.ThrowsAsync<MillraceConfigurationException>(() => host.Bus().SendAsync(new Heartbeat(1)))).Message, StringComparison.Ordinal);
        Assert.Contains("is a command. Send it", (await Assert.ThrowsAsync<MillraceConfigurationException>(() => host.Bus().PublishAsync(new RefundPayment(Guid.Empty)))).Message, StringComparison.Ordinal);
        Assert.Contains("is not a message", (await Assert.ThrowsAsync<MillraceConfigurationException>(() => host.Bus().PublishAsync("text"))).Message, StringComparison.Ordinal);
        ArgumentException header = await Assert.ThrowsAsync<ArgumentException>(() => host.Bus().PublishAsync(new Heartbeat(1), new MessageOptions { Headers = [new("ce_id", "x")] }));
        Assert.Contains("'ce_id' belongs to the envelope", header.Message, StringComparison.Ordinal);
        await host.StopAsync();
    }

    [Fact]
    public async Task A_start_reports_every_problem_at_once_and_leaves_nothing_behind()
    {
        using (IHost host = _application.Build(millrace =>
        {
            millrace.AddEndpoint("payment", endpoint => endpoint.Handle<RefundPayment>(_ => { }));
            millrace.AddEndpoint("billing", endpoint => endpoint.Handle<RefundPayment>(_ => { }));
            millrace.Configure(options => (options.TopicPartitionCount, options.MaxQueuedMessages, options.MaxWindowMessages) = (0, 100, 10));
        }))
        {
            MillraceConfigurationException failure = await Assert.ThrowsAsync<MillraceConfigurationException>(() => host.StartAsync());
            Assert.Contains("'payment' and 'billing'", failure.Message, StringComparison.Ordinal);
            Assert.Contains("TopicPartitionCount is 0. It goes from 1 to 1000.", failure.Message, StringComparison.Ordinal);
            Assert.Contains("MaxWindowMessages (10) is below MaxQueuedMessages (100)", failure.Message, StringComparison.Ordinal);
        }

        Assert.False(Directory.Exists(_application.DataDirectory));
    }

    [Fact]
    public async Task Handlers_that_the_container_cannot_make_are_an_error_at_the_start()
    {
        using IHost host = _application.Build(millrace =>
        {
            millrace.AddEndpoint("mail", endpoint => endpoint.AddHandlers<NeedsWhatIsMissing>());
            millrace.AddEndpoint("copy", endpoint => endpoint.AddHandlers<CannotBeMade>());
        });
        MillraceConfigurationException failure = await Assert.ThrowsAsync<MillraceConfigurationException>(() => host.StartAsync());
        Assert.Contains(
            "NeedsWhatIsMissing needs ICloneable in its constructor, which is not registered. Register it (builder.Services.AddScoped<ICloneable, ...>()), or give the parameter a default. " +
            "(Handlers at the endpoint 'mail'.)",
            failure.Message,
            StringComparison.Ordinal);
        Assert.Contains("CannotBeMade has no public constructor", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Handlers_that_the_container_can_make_in_one_way_or_another_are_no_error()
    {
        using IHost host = await _application.StartAsync(
            millrace =>
            {
                millrace.AddEndpoint("all", endpoint => endpoint.AddHandlers<NeedsWhatIsThere>());
                millrace.AddEndpoint("made", endpoint => endpoint.AddHandlers<NeedsWhatIsMissing>());
            },
            builder =>
            {
                builder.Services.AddKeyedSingleton("key", new Uri("http://localhost"));
                builder.Services.AddScoped(_ => new NeedsWhatIsMissing("text"));
            });
        await host.Bus().PublishAsync(new Heartbeat(1));
        Assert.Equal(0, (await host.WaitUntilQuietAsync()).DelayedCount);
        await host.StopAsync();
    }

    [Fact]
    public async Task A_host_without_a_log_says_how_to_get_one()
    {
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(settings: null);
        builder.AddMillrace(_ => { });
        using IHost host = builder.Build();

        MillraceConfigurationException failure = await Assert.ThrowsAsync<MillraceConfigurationException>(() => host.StartAsync());
        Assert.Contains("UseEmbedded", failure.Message, StringComparison.Ordinal);
        Assert.Contains("UseKafka", failure.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("9092")]
    [InlineData("127.0.0.1")]
    [InlineData("::1")]
    [InlineData("somewhere:9092")]
    [InlineData("127.0.0.1:99999")]
    public async Task A_listen_address_that_is_none_is_refused(string listen)
    {
        using IHost host = _application.Build(millrace =>
            millrace.WithoutLog().UseEmbedded(options => (options.DataDirectory, options.Listen) = (_application.DataDirectory, listen)));

        MillraceConfigurationException failure = await Assert.ThrowsAsync<MillraceConfigurationException>(() => host.StartAsync());
        Assert.Contains($"Listen is '{listen}'", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_data_directory_that_another_application_uses_is_refused_and_stays_usable()
    {
        Assert.SkipWhen(TestCluster.IsExternal, "A cluster's directories are not the application's.");
        using IHost first = await _application.StartAsync(_ => { });
        using (IHost second = _application.Build(_ => { }))
        {
            Exception failure = await Assert.ThrowsAnyAsync<Exception>(() => second.StartAsync());
            Assert.Contains(_application.DataDirectory, failure.Message, StringComparison.Ordinal);
        }

        await first.Bus().PublishAsync(new Heartbeat(1));
        await first.StopAsync();
    }

    private sealed class NeedsWhatIsMissing(ICloneable missing)
    {
        public Task HandleAsync(Heartbeat message) => Task.FromResult((message, missing));
    }

    private sealed class CannotBeMade
    {
        private CannotBeMade()
        {
        }

        public Task HandleAsync(Heartbeat message) => Task.FromResult(message);
    }

    private sealed class NeedsWhatIsThere
    {
        public NeedsWhatIsThere(ICloneable missing) => throw new InvalidOperationException($"{missing}");

        public NeedsWhatIsThere(
            IEnumerable<ICloneable> none, IServiceProvider services, ILogger<NeedsWhatIsThere> logger, IOptions<MessagingOptions> options, [FromKeyedServices("key")] Uri keyed, ICloneable? optional = null) =>
            Assert.Null(optional ?? none.FirstOrDefault() ?? (object?)(services is null || logger is null || options is null ? keyed : null));

        public Task HandleAsync(Heartbeat message) => Task.FromResult(message);
    }
}
