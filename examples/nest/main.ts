import { Controller, Module, Post } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { createActiveSessions } from "active-session";
import { ActiveSession, ActiveSessionModule } from "active-session/nest";
import { count } from "./count.js";

@Controller()
class CountController {
  @Post("count")
  async start(@ActiveSession() session: ActiveSession) {
    const runner = await session.createSequenceRunner(count());
    return { key: runner.key, ...(await runner.getRequired({ advance: 3 })) };
  }
}

@Module({
  imports: [ActiveSessionModule.forRoot({ sessions: createActiveSessions() })], // serves /runners
  controllers: [CountController],
})
class AppModule {}

const app = await NestFactory.create(AppModule);
app.enableShutdownHooks();
app.getHttpServer().keepAliveTimeout = 65_000; // longer than that of a proxy in front
await app.listen(process.env.PORT ?? 3000, "127.0.0.1");
