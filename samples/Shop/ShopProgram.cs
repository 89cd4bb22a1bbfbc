using System.Globalization;
using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Millrace;
using Millrace.Broker;

namespace Shop;

/// <summary>The program: open the shop, place orders, say what became of them, serve or end.</summary>
internal sealed class ShopProgram(ShopOptions options, TextWriter output, TextWriter error, TimeProvider time)
{
    private static readonly TimeSpan s_booksTimeout = TimeSpan.FromSeconds(120);
    private static readonly TimeSpan s_booksPause = TimeSpan.FromMilliseconds(100);

    private volatile bool _isGivingUp;

    public async Task<int> RunAsync()
    {
        try
        {
            CreateDataDirectory();
            if (!options.Role.HasDesk())
            {
                await ServeAsync();
                return ExitCode.Success;
            }

            bool ended = await OpenAsync();
            bool booksAgree = !options.Exit || await AuditAsync();
            return ended && booksAgree ? ExitCode.Success : ExitCode.Failure;
        }
        catch (Exception failure) when (Explain(failure) is { } sentence)
        {
            await error.WriteLineAsync(sentence);
            return ExitCode.Failure;
        }
    }

    /// <summary>A sentence for what a person can change; null for what is a bug.</summary>
    private string? Explain(Exception failure) => failure switch
    {
        BrokerStartException { Failure: BrokerStartFailure.Listen } => $"{failure.Message} The option for it is --kafka-listen.",
        MillraceConfigurationException when options.Kafka is not null && failure.Message.StartsWith("BootstrapServers", StringComparison.Ordinal) =>
            $"--kafka is '{options.Kafka}'; write HOST:PORT, or several with commas between them.",
        ShopException or BrokerStartException or MillraceConfigurationException or LogUnavailableException => failure.Message,
        Millrace.Kafka.KafkaException => $"{failure.Message.TrimEnd('.')}. The cluster is the one of --kafka.",
        // Kestrel's, which names the address.
        IOException when failure.InnerException is Microsoft.AspNetCore.Connections.AddressInUseException =>
            $"{failure.Message.TrimEnd('.')}. Stop the program that uses it, or give another address with --listen.",
        System.Net.Sockets.SocketException => $"The address of --listen cannot be used: {failure.Message}. Give an address of this machine.",
        AggregateException { InnerExceptions: [var only] } => Explain(only),
        _ => null,
    };

    private void CreateDataDirectory()
    {
        try
        {
            Directory.CreateDirectory(options.DataDirectory);
            Directory.CreateDirectory(options.OutboxDirectory);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException or NotSupportedException or ArgumentException)
        {
            throw new ShopException(
                $"The data directory {Path.GetFullPath(options.DataDirectory)} cannot be made: {failure.Message.TrimEnd('.')}. Give a directory that this program may write to with --data.",
                failure);
        }
    }

    /// <summary>Runs services whose orders come from another process, until somebody asks it to stop.</summary>
    private async Task ServeAsync()
    {
        using RetryCounter retries = new();
        using IHost host = Build();
        await output.WriteLineAsync($"The Millrace Shop: {options.Role.Describe()}, with all data in {Path.GetFullPath(options.DataDirectory)}.");
        await StartAsync(host);
        await output.WriteLineAsync($"Serving orders from {options.Kafka}. Press Ctrl-C to stop.");
        await output.FlushAsync();
        await host.WaitForShutdownAsync();
        await output.WriteLineAsync(string.Create(
            CultureInfo.InvariantCulture, $"Stopped. {retries.RetryCount} attempts failed and were repeated, {retries.DeadLetterCount} messages were given up."));
    }

    private async Task StartAsync(IHost host)
    {
        try
        {
            await host.StartAsync();
        }
        catch
        {
            // What is half open complains while it is closed; the one sentence is what counts.
            _isGivingUp = true;
            throw;
        }
    }

    /// <summary>Everything between opening and closing.</summary>
    /// <returns>Whether every order has ended.</returns>
    private async Task<bool> OpenAsync()
    {
        using RetryCounter retries = new();
        using IHost host = Build();
        string what = options.Kafka is null ? "five services, one saga and their log" : $"{options.Role.Describe()}, on {options.Kafka}";
        await output.WriteLineAsync($"The Millrace Shop: {what}, with all data in {Path.GetFullPath(options.DataDirectory)}.");
        await StartAsync(host);
        CancellationToken stopping = host.Services.GetRequiredService<IHostApplicationLifetime>().ApplicationStopping;

        ProgressLine progress = new(output, !Console.IsOutputRedirected, time);
        OrderRun run = new(options, host.Services.GetRequiredService<OrderDesk>(), progress, retries, time);
        if (options.Exit)
        {
            WriteAddresses(host);
        }

        long start = time.GetTimestamp();
        if (options.Kafka is not null && !await WaitForBooksAsync(stopping))
        {
            await host.StopAsync();
            return false;
        }

        RunEnd end = await run.RunAsync(stopping);
        await Summary.WriteAsync(
            output, options, run, time.GetElapsedTime(start), retries, host.Services.GetRequiredService<ISagaClient>(), CancellationToken.None);
        if (end == RunEnd.Stuck)
        {
            await error.WriteLineAsync(string.Create(
                CultureInfo.InvariantCulture, $"Nothing has moved for {run.IdleLimit.TotalSeconds:F0} s, so the rest is stuck. What it waits for is above."));
        }
        else if (end == RunEnd.Interrupted)
        {
            await output.WriteLineAsync("Stopped before every order had ended. Run it again on the same data to go on.");
        }

        if (!options.Exit && end != RunEnd.Interrupted)
        {
            WriteAddresses(host);
            await host.WaitForShutdownAsync();
            await output.WriteLineAsync("The shop has closed; everything is on the disk.");
        }
        else
        {
            await host.StopAsync();
        }

        return end == RunEnd.Quiet;
    }

    /// <summary>Waits for the services of other processes to have opened their books, which is where it is seen how far the orders are.</summary>
    /// <returns>False when somebody asked the program to stop meanwhile.</returns>
    private async Task<bool> WaitForBooksAsync(CancellationToken stopping)
    {
        await using ShopDatabases databases = new(options);
        long start = time.GetTimestamp();
        bool isTold = false;
        while (await databases.FindMissingAsync(CancellationToken.None) is { Count: > 0 } missing)
        {
            if (time.GetElapsedTime(start) > s_booksTimeout)
            {
                throw new ShopException(
                    $"Nobody has opened the books of {string.Join(" and ", missing)} in {Path.GetFullPath(options.DataDirectory)}. Start the roles payment and stock, on the same --kafka and the same --data, or one process with --role all.");
            }

            if (!isTold)
            {
                isTold = true;
                string[] roles = [.. ShopRoles.Of(missing).Select(role => $"--role {role.ToString().ToLowerInvariant()}")];
                await output.WriteLineAsync(
                    $"Waiting for the books of {string.Join(", ", missing)}. Start {string.Join(" and ", roles)}, each as a process of its own with the same --kafka and --data, unless they are on their way.");
                await output.FlushAsync(CancellationToken.None);
            }

            try
            {
                await Task.Delay(s_booksPause, time, stopping);
            }
            catch (OperationCanceledException)
            {
                return false;
            }
        }

        return true;
    }

    private IHost Build()
    {
        if (options.Listen is not { } listen)
        {
            HostApplicationBuilder plain = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { ApplicationName = "shop" });
            plain.Services.AddSingleton<IHostLifetime, Microsoft.Extensions.Hosting.Internal.ConsoleLifetime>();
            Configure(plain);
            return plain.Build();
        }

        // An empty builder: nothing of the surroundings, such as an appsettings.json or a variable, changes what the options say.
        WebApplicationBuilder web = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ApplicationName = "Shop" });
        web.WebHost.UseKestrelCore().ConfigureKestrel(server => server.Listen(IPAddress.Parse(listen.Host), listen.Port));
        web.Services.AddRouting();
        web.Services.AddProblemDetails();
        web.Services.AddSingleton<IHostLifetime, Microsoft.Extensions.Hosting.Internal.ConsoleLifetime>();
        Configure(web);
        WebApplication application = web.Build();
        application.UseExceptionHandler();
        application.UseRouting();
        application.MapOrders();
        return application;
    }

    private void Configure(IHostApplicationBuilder builder)
    {
        // Retries are counted and summed up; what needs a person is said.
        builder.Logging.AddSimpleConsole(format => format.SingleLine = true)
            .AddConsole(console => console.LogToStandardErrorThreshold = LogLevel.Trace)
            .AddFilter(level => level >= LogLevel.Error && !_isGivingUp)
            // What keeps the host from starting, and what a database refuses, comes back as an exception and is explained or retried.
            .AddFilter("Microsoft.Extensions.Hosting", LogLevel.None)
            .AddFilter("Microsoft.EntityFrameworkCore", LogLevel.None);
        builder.Services.AddSingleton(time);
        builder.AddMillrace(millrace => UseLog(millrace).AddShop(options));
    }

    // The one line that is different on a cluster.
    private MillraceBuilder UseLog(MillraceBuilder millrace) => options.Kafka is { } cluster
        ? millrace.UseKafka(cluster, kafka =>
        {
            kafka.ReplicationFactor = options.Replicas;
            // Of three copies, two have what was acknowledged, and one broker may be away.
            kafka.MinInSyncReplicas = options.Replicas >= 3 ? 2 : null;
        })
        : millrace.UseEmbedded(embedded =>
        {
            embedded.DataDirectory = options.LogDirectory;
            embedded.Listen = options.KafkaListen?.ToString();
        });

    private void WriteAddresses(IHost host)
    {
        string? http = host.Services.GetService<IServer>()?.Features.Get<IServerAddressesFeature>()?.Addresses.FirstOrDefault();
        string? log = options.Kafka ?? host.Services.GetRequiredService<EmbeddedBroker>().ListenEndPoint?.ToString();
        if (!options.Exit)
        {
            output.WriteLine();
            output.WriteLine("The shop is open. Press Ctrl-C to close it.");
        }

        if (http is not null)
        {
            output.WriteLine($"  orders      {http}/orders/order-1");
        }

        if (log is not null)
        {
            output.WriteLine($"  the log     {log} (Kafka protocol)");
        }

        if (!options.Exit)
        {
            output.WriteLine("Try next:");
            output.WriteLine($$"""  curl -s -w '\n' {{http}}/orders -H 'Content-Type: application/json' -d '{"orderId":"mine","customer":"you@example.com","item":"golden-teapot"}'""");
            output.WriteLine($"  curl -s -w '\\n' {http}/orders/mine");
            output.WriteLine($"  kcat -b {log} -C -t {options.Prefix}order.events -o beginning -e -q -f '%k %s\\n'");
        }

        output.Flush();
    }

    /// <summary>Lays the books side by side when nobody writes them any more. Its line is the last thing that the program says.</summary>
    private async Task<bool> AuditAsync()
    {
        Audit audit = await Audit.ReadAsync(options);
        await error.FlushAsync();
        await output.WriteLineAsync(audit.ToString());
        await output.FlushAsync();
        return audit.Holds;
    }
}
